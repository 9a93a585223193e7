#!/bin/sh
# Process 1 of a QEMU guest once its root is this machine's file system with a memory on top.
room=${0%/*}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

off() {
    # Asked of the kernel, as poweroff(8) is not on every machine.
    echo o >/proc/sysrq-trigger
    sleep 60
}
die() {
    echo "the guest cannot start: $1"
    off
}
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
# The console adds carriage returns otherwise.
stty -onlcr </dev/console
modules=$(cat "$room/modules")
mount_out() { mount -t 9p -o trans=virtio,version=9p2000.L,cache=none out "$1"; }
. "$room/guest.sh"
