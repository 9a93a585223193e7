#!/bin/sh
# Process 1 of a QEMU guest, after the initramfs: the root is this machine's file system with a tmpfs
# on top.
guest_dir=${0%/*}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

off() {
    # Through the kernel, as not every machine has poweroff(8).
    echo o >/proc/sysrq-trigger
    sleep 60
}
die() {
    echo "the guest cannot start: $1"
    off
}
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
# The console adds carriage returns otherwise.
stty -onlcr </dev/console
modules=$(cat "$guest_dir/modules")
mount_out() { mount -t 9p -o trans=virtio,version=9p2000.L,cache=none out "$1"; }
. "$guest_dir/guest.sh"
