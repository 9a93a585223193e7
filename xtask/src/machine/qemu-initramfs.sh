#!/bin/busybox sh
# Process 1 of a QEMU guest, in its initramfs: mounts this machine's file system read-only, puts a
# tmpfs on top and continues there.
busybox() { /bin/busybox "$@"; }
die() {
    echo "the guest cannot start: $1"
    busybox poweroff -f
}
busybox mkdir -p /proc /dev /lower /memory /root
busybox mount -t proc proc /proc
busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do
    busybox insmod "$module" || die "its kernel does not take the module $module"
done
# Cached: the guest need not see what this machine changes meanwhile.
busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro root /lower ||
    die "no root over 9p"
busybox mount -t tmpfs tmpfs /memory
busybox mkdir /memory/upper /memory/work
busybox mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work overlay /root ||
    die "cannot put a writable root over the machine's own"
for word in $(busybox cat /proc/cmdline); do
    case $word in vipd.guest_dir=*) guest_dir=${word#*=} ;; esac
done
exec busybox switch_root /root "$guest_dir/init"
