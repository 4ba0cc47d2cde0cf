# Makes a Debian system in $2 (debootstrap), with the sources this machine has. In namespaces of its own: its mounts end
# with it, however it ends.
set -eu
release=$1 root=$2 mirror=$3 packages=$4
debootstrap --variant=minbase --include="$packages" "$release" "$root" $mirror
printf '%s\n' force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/tandem-lab"
printf '%s\n' 'APT::Install-Recommends "false";' 'Acquire::Languages "none";' >"$root/etc/apt/apt.conf.d/90tandem-lab"
# A container has no disks to trim, no consoles, and in the lab no way to a mirror.
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  getty@.service console-getty.service systemd-udevd.service systemd-networkd-wait-online.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# Known to nobody: every node gets one of its own.
rm -f "$root/etc/machine-id" "$root/var/lib/dbus/machine-id"
rm -rf "$root"/var/cache/apt/archives/*.deb
