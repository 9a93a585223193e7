#!/usr/bin/env -S setpriv --no-new-privs sh
# Process 1 of a user-mode Linux guest whose root is this machine's file system, read-only.
# Without new privileges, as mount(8) is setuid: run by a user, root's files seem to be nobody's.
room=${0%/*}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
stty -onlcr </dev/console

off() {
    # Asked of the kernel, as poweroff(8) is not on every machine. The console stays quiet.
    mountpoint -q /proc || mount -t proc proc /proc
    echo o >/proc/sysrq-trigger
    sleep 60
}
die() {
    echo "the guest cannot start: $1"
    off
}

# A root in memory on top of the read-only one: whatever is written, wherever, is gone at the end.
mount -t proc proc /proc
mount -t tmpfs tmpfs /run || die "no tmpfs on /run"
mkdir -p /run/upper /run/work /run/root /run/prefix/lib
ln -s /usr/lib/uml/modules /run/prefix/lib/modules
modprobe -d /run/prefix overlay || die "no module overlay under /usr/lib/uml/modules"
mount -t overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work overlay /run/root ||
    die "cannot put a writable root over the machine's own"

cd /run/root || die "no new root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs devtmpfs dev
mkdir -p dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts devpts dev/pts
mount -t tmpfs tmpfs run
mkdir -p run/old run/out
# The one place that reaches the machine.
mount -t hostfs -o "$room/out" hostfs run/out || die "cannot mount $room/out"
pivot_root . run/old || die "cannot enter the new root"
cd /

# Found by modprobe, so that the kernel loads what it is asked for by itself.
mkdir -p /lib/modules
ln -sfn "/usr/lib/uml/modules/$(uname -r)" "/lib/modules/$(uname -r)"
# Besides, what a suite may look for before it asks. A kernel need not have them all.
modprobe -qa ipv6 dummy veth bridge br_netfilter ipip sit ip6_tunnel \
    ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_lblc ip_vs_lblcr ip_vs_dh ip_vs_sh ip_vs_sed \
    ip_vs_nq ip_vs_fo ip_vs_ovf ip_vs_mh ip_vs_twos ip_vs_pe_sip \
    iptable_filter iptable_nat ip6table_filter ip6table_nat xt_conntrack xt_ipvs xt_MASQUERADE \
    xt_addrtype nf_conntrack_netlink
ip link set lo up

"$room/xtask" in-guest "$room/suites.json" /run/out/report.json
off
