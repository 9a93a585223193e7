# The second half of a guest's start, read by its first program in `/`, which is this machine's own
# file system with a memory on top: whatever is written, wherever, is gone at the end. $room is the
# guest's room, $modules the kernel's modules, and `mount_out DIR` mounts the room's way out.
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mkdir -p /run/out
# The one place that reaches the machine.
mount_out /run/out || die "cannot mount $room/out"

# Found by modprobe, so that the kernel loads what it is asked for by itself.
mkdir -p /lib/modules
ln -sfn "$modules" "/lib/modules/$(uname -r)"
# Besides, what a suite may look for before it asks. A kernel need not have them all.
modprobe -qa ipv6 dummy veth bridge br_netfilter ipip sit ip6_tunnel \
    ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_lblc ip_vs_lblcr ip_vs_dh ip_vs_sh ip_vs_sed \
    ip_vs_nq ip_vs_fo ip_vs_ovf ip_vs_mh ip_vs_twos ip_vs_pe_sip \
    iptable_filter iptable_nat ip6table_filter ip6table_nat xt_conntrack xt_ipvs xt_MASQUERADE \
    xt_addrtype nf_conntrack_netlink
ip link set lo up

[ ! -e "$room/systemd.sh" ] || . "$room/systemd.sh"
"$room/xtask" in-guest "$room/suites.json" /run/out/report.json
off
