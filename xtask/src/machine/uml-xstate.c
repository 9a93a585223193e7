/*
 * User-mode Linux 6.1 keeps the registers of floating point and vectors of a process in a buffer of
 * fixed size. On a CPU with larger ones (AMX) the host's kernel refuses to set only the first part,
 * and the guest dies at its first program. This library stands before ptrace(2) and sets that part
 * together with the rest, as it is.
 *
 * The layout is that of the Intel SDM, volume 1, section 13.4, "XSAVE Area".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

/* linux/elf.h */
#define NT_X86_XSTATE 0x202

/* The offset of XSTATE_BV: the parts that have values. */
#define PARTS_OFFSET 512

/* The parts beyond the buffer: the configuration and the data of AMX. */
#define AMX_PARTS ((UINT64_C(1) << 17) | (UINT64_C(1) << 18))

long ptrace(enum __ptrace_request request, ...)
{
    static long (*next)(int, pid_t, void *, void *);
    static char whole[1 << 16];

    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "ptrace");
    long done = next(request, pid, address, data);
    if (done == 0 || request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE)
        return done;

    const struct iovec *part = data;
    struct iovec all = { whole, sizeof whole };
    if (next(PTRACE_GETREGSET, pid, address, &all) != 0 || part->iov_len > all.iov_len)
        return done;
    memcpy(whole, part->iov_base, part->iov_len);
    uint64_t parts;
    memcpy(&parts, whole + PARTS_OFFSET, sizeof parts);
    parts &= ~AMX_PARTS;
    memcpy(whole + PARTS_OFFSET, &parts, sizeof parts);
    return next(PTRACE_SETREGSET, pid, address, &all);
}
