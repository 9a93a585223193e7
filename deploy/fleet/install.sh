#!/bin/sh
# Install or upgrade vipd on many nodes over ssh: the first node alone, then the others a few at a
# time. On each node the new program checks the new configuration before anything is replaced. A node
# is done when its new agent is ready. One that isn't goes back to the package and the configuration
# that it had, and the rollout stops there.
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
fail() { # WHY
    echo "$1" >&2
    exit 2
}

# The files are read once for each node, which a pipe can't be.
[ -f "$package" ] && [ -r "$package" ] ||
    fail "no package $package: build one with cargo xtask package"
[ -f "$configuration" ] && [ -r "$configuration" ] ||
    fail "no configuration $configuration: start from deploy/vipd.toml"

: "${SSH:=ssh}" "${SCP:=scp}" "${AT_ONCE:=5}" "${PATIENCE:=120}"
for program in "${SSH%% *}" "${SCP%% *}"; do
    command -v "$program" >/dev/null || fail "no program $program: set SSH and SCP to what runs here"
done

check_count() { # NAME VALUE
    case $2 in
        '' | 0* | *[!0-9]* | ???????*) fail "$1 is $2: use a whole number from 1 to 999999" ;;
    esac
}
check_count AT_ONCE "$AT_ONCE"
check_count PATIENCE "$PATIENCE"

seen=' '
for node; do
    case $node in
        '' | -* | *[!A-Za-z0-9._-]*) fail "'$node' is no name of a node" ;;
    esac
    case $seen in
        *" $node "*) fail "$node is named twice: its installations would meet" ;;
    esac
    seen="$seen$node "
done

# What runs on a node, as root: DIRECTORY PATIENCE. The package keeps the last good one of itself in
# /var/cache/vipd, where only this script writes.
on_node=$(cat <<'END'
set -eu
at=$1 patience=$2
cd "$at"
trap 'cd /; rm -rf "$at"' EXIT
file=/etc/vipd/vipd.toml
kept=/var/cache/vipd/installed.deb
program=/usr/bin/vipd

put_file() { # FROM: the configuration, as the package leaves it.
    install -D -m 640 "$1" "$file"
    ! getent group vipd >/dev/null || chgrp vipd "$file"
}

put_package() { # FROM
    said=$(DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i "$1" 2>&1) || { echo "$said" >&2; return 1; }
}

invocation() {
    systemctl show --value -p InvocationID vipd
}

# Restarts the agent, and waits until the new one is ready. The unit is active once the agent has read
# Marathon and the kernel matches it; what the agent then says is what /readyz answers.
restart() {
    before=$(invocation)
    systemctl restart --no-block vipd-setup vipd || return 1
    end=$(($(date +%s) + patience))
    until [ "$(invocation)" != "$before" ] && systemctl -q is-active vipd &&
        vipd status --output json 2>/dev/null | grep -q '"not_ready": \[\]'; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 2
    done
}

go_back() { # WHY
    echo "$1" >&2
    [ -e old.toml ] || { echo "there is nothing to go back to" >&2; exit 1; }
    put_file old.toml
    if [ -e "$kept" ]; then
        put_package "$kept" || exit 1
    else
        echo "no earlier package is kept on this node: only the configuration goes back" >&2
    fi
    restart || { echo "went back, but that isn't ready either" >&2; exit 1; }
    echo "went back, and that is ready" >&2
    exit 1
}

# The new program, before it is installed. One from before `config check` can't be asked.
dpkg-deb --fsys-tarfile vipd.deb | tar -xO ./usr/bin/vipd >vipd
chmod 700 vipd
./vipd --version >/dev/null || { echo "the new program doesn't run here: nothing was changed" >&2; exit 1; }
# Somebody else may have installed another one since.
[ ! -e "$kept" ] || dpkg-deb --fsys-tarfile "$kept" | tar -xO ./usr/bin/vipd | cmp -s - "$program" ||
    rm -f "$kept"
if ./vipd config --help >/dev/null 2>&1; then
    ./vipd config check vipd.toml >&2 || { echo "the configuration is refused: nothing was changed" >&2; exit 1; }
fi

if [ -e "$file" ]; then
    cp -p "$file" old.toml
    cp -p "$file" "$file.previous"
fi
put_file vipd.toml
put_package vipd.deb || go_back "not installed"
restart || go_back "not ready after $patience s: journalctl -u vipd has its log"
install -D -m 600 vipd.deb "$kept"
END
)

on() { # NODE COMMAND...
    node=$1
    shift
    $SSH "root@$node" "$@"
}

install_on() { # NODE
    # set -e is off in a function whose status is tested.
    # A new directory in root's home: where everybody may write, a link could stand in the way.
    at=$(on "$1" 'mktemp -d "$HOME/.vipd.XXXXXXXX"') || return 1
    $SCP -q "$package" "root@$1:$at/vipd.deb" || return 1
    $SCP -q "$configuration" "root@$1:$at/vipd.toml" || return 1
    if ! printf '%s\n' "$on_node" | on "$1" sh -s -- "$at" "$PATIENCE"; then
        echo "$1: not done. On that node, run: vipd doctor; vipd status; journalctl -u vipd" >&2
        return 1
    fi
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
