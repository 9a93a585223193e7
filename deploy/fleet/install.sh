#!/bin/sh
# Install or upgrade vipd on many nodes over ssh: the first node alone, then the others a few at a
# time. A node is done when its agent is ready. Stops at the first node with a problem.
#
#   deploy/fleet/install.sh vipd_0.1.0_amd64.deb vipd.toml node1 node2 ...
#   deploy/fleet/install.sh vipd_0.1.0_amd64.deb vipd.toml $(cat nodes)
#
# Environment: SSH and SCP, programs to use instead of ssh and scp; AT_ONCE, nodes at a time (5);
# PATIENCE, seconds until an agent must be ready (120). Connects as root.
set -eu

usage() {
    sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}
[ $# -ge 3 ] || usage
package=$1 configuration=$2
shift 2
[ -r "$package" ] || { echo "no package $package: build one with cargo xtask package" >&2; exit 2; }
[ -r "$configuration" ] || { echo "no configuration $configuration: start from deploy/vipd.toml" >&2; exit 2; }
: "${SSH:=ssh}" "${SCP:=scp}" "${AT_ONCE:=5}" "${PATIENCE:=120}"

on() { # NODE COMMAND...
    node=$1
    shift
    $SSH "root@$node" "$@"
}

install_on() { # NODE
    # set -e is off in a function whose status is tested.
    # Into root's home: in /tmp, where everybody may write, a link could stand in the way.
    $SCP -q "$package" "root@$1:.vipd.deb" || return 1
    $SCP -q "$configuration" "root@$1:.vipd.toml" || return 1
    on "$1" "set -e
        install -D -m 640 .vipd.toml /etc/vipd/vipd.toml
        said=\$(DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i ./.vipd.deb 2>&1) || { echo \"\$said\" >&2; exit 1; }
        systemctl restart vipd-setup vipd --no-block
        rm -f .vipd.deb .vipd.toml" || {
        echo "$1: not installed" >&2
        return 1
    }
    waited=0
    # The unit is active once the agent has read Marathon and the kernel matches it.
    until on "$1" systemctl -q is-active vipd; do
        waited=$((waited + 2))
        [ "$waited" -lt "$PATIENCE" ] || {
            echo "$1: not ready after $PATIENCE s. On that node, run: vipd doctor; vipd status; journalctl -u vipd" >&2
            return 1
        }
        sleep 2
    done
    echo "$1: ready"
}

first=$1
shift
install_on "$first" || exit 1
while [ $# -gt 0 ]; do
    jobs=
    started=0
    while [ $# -gt 0 ] && [ "$started" -lt "$AT_ONCE" ]; do
        install_on "$1" &
        jobs="$jobs $!"
        started=$((started + 1))
        shift
    done
    failed=0
    for job in $jobs; do
        wait "$job" || failed=1
    done
    [ "$failed" -eq 0 ] || { echo "stopped; not done: $*" >&2; exit 1; }
done
echo "all nodes are ready"
