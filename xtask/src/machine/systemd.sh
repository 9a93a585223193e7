# Makes systemd the guest's init: one unit runs the suites and powers off. Units that are enabled on
# this machine are not started.
mkdir -p /run/systemd/system
# The guest directory is under /tmp, which systemd cleans when it starts.
cp -r "$guest_dir" /run/guest_dir
guest_dir=/run/guest_dir
cat >/run/systemd/system/suites.service <<UNIT
[Unit]
Description=the suites
After=dbus.socket
Wants=dbus.socket

[Service]
Type=oneshot
Environment=PATH=$PATH
ExecStart=$guest_dir/xtask in-guest $guest_dir/suites.json /run/out/report.json
ExecStopPost=/bin/sh -c '[ -s /run/out/report.json ] || journalctl --no-pager --boot --lines=40 >/dev/console; echo o >/proc/sysrq-trigger; sleep 60'
TimeoutStartSec=infinity
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/console
UNIT
# Of no use here, and udev waits for devices that a guest doesn't have.
ln -sf /dev/null /run/systemd/system/systemd-udevd.service
ln -sf /dev/null /run/systemd/system/systemd-udev-trigger.service
ln -sf /dev/null /run/systemd/system/systemd-firstboot.service
# This machine may be a container, in which packages start nothing; the guest is a node.
rm -f /usr/sbin/policy-rc.d
: >/etc/fstab
exec /lib/systemd/systemd --unit=suites.service --show-status=false --log-level=warning
