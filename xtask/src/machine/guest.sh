# The second half of a guest's start, sourced by its init. `/` is this machine's own file system with
# a tmpfs on top, so every change is gone at the end. $guest_dir is the directory that the guest
# shares with the machine, $modules holds the kernel's modules, and `mount_out DIR` mounts the one
# directory that the guest may write to.
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mkdir -p /run/out
# What is written here reaches the machine.
mount_out /run/out || die "cannot mount $guest_dir/out"

# Where modprobe looks, so that the kernel can load modules on demand.
mkdir -p /lib/modules
ln -sfn "$modules" "/lib/modules/$(uname -r)"
# Load the modules whose absence a suite would take for a missing feature. A kernel need not have
# all of them.
modprobe -qa ipv6 dummy veth bridge br_netfilter ipip sit ip6_tunnel \
    ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_lblc ip_vs_lblcr ip_vs_dh ip_vs_sh ip_vs_sed \
    ip_vs_nq ip_vs_fo ip_vs_ovf ip_vs_mh ip_vs_twos ip_vs_pe_sip \
    iptable_filter iptable_nat ip6table_filter ip6table_nat xt_conntrack xt_ipvs xt_MASQUERADE \
    xt_addrtype nf_conntrack_netlink
ip link set lo up

[ ! -e "$guest_dir/systemd.sh" ] || . "$guest_dir/systemd.sh"
"$guest_dir/xtask" in-guest "$guest_dir/suites.json" /run/out/report.json
off
