# systemd becomes the guest's first program; one unit of it runs the suites and powers off. Units that
# this machine has enabled for itself are not started.
mkdir -p /run/systemd/system
# Where the room is, in /tmp, systemd cleans up when it starts.
cp -r "$room" /run/room
room=/run/room
cat >/run/systemd/system/suites.service <<UNIT
[Unit]
Description=the suites
After=dbus.socket
Wants=dbus.socket

[Service]
Type=oneshot
Environment=PATH=$PATH
ExecStart=$room/xtask in-guest $room/suites.json /run/out/report.json
ExecStopPost=/bin/sh -c '[ -s /run/out/report.json ] || journalctl --no-pager --boot --lines=40 >/dev/console; echo o >/proc/sysrq-trigger; sleep 60'
TimeoutStartSec=infinity
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/console
UNIT
# Neither is of use here, and both wait for devices that a guest doesn't have.
ln -sf /dev/null /run/systemd/system/systemd-udevd.service
ln -sf /dev/null /run/systemd/system/systemd-udev-trigger.service
ln -sf /dev/null /run/systemd/system/systemd-firstboot.service
: >/etc/fstab
exec /lib/systemd/systemd --unit=suites.service --show-status=false --log-level=warning
