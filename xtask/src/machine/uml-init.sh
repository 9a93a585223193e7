#!/usr/bin/env -S setpriv --no-new-privs sh
# Process 1 of a user-mode Linux guest whose root is this machine's file system, read-only.
# No new privileges, since mount(8) is setuid: when a user runs the guest, root's files appear to be
# owned by nobody.
guest_dir=${0%/*}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
stty -onlcr </dev/console

off() {
    # Through the kernel, as not every machine has poweroff(8). The console stays quiet.
    mountpoint -q /proc || mount -t proc proc /proc
    echo o >/proc/sysrq-trigger
    sleep 60
}
die() {
    echo "the guest cannot start: $1"
    off
}

# Put a tmpfs on top of the read-only root.
mount -t proc proc /proc
mount -t tmpfs tmpfs /run || die "no tmpfs on /run"
mkdir -p /run/upper /run/work /run/root /run/prefix/lib
ln -s /usr/lib/uml/modules /run/prefix/lib/modules
modprobe -d /run/prefix overlay || die "no module overlay under /usr/lib/uml/modules"
mount -t overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work overlay /run/root ||
    die "cannot put a writable root over the machine's own"

cd /run/root || die "no new root"
mount -t proc proc proc
# As on any node: only root may create files there.
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/old
pivot_root . run/old || die "cannot enter the new root"
cd /

modules=/usr/lib/uml/modules/$(uname -r)
mount_out() { mount -t hostfs -o "$guest_dir/out" hostfs "$1"; }
. "$guest_dir/guest.sh"
