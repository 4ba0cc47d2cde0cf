# Installs relations ($4, as in a Depends line) upon a base system ($1), into $2, as an overlay's upper folder; nothing is
# started. In namespaces of its own: its mounts end with it, however it ends.
set -eu
base=$1 target=$2 release=$3 relations=$4
mkdir -p "$target/upper" "$target/work" "$target/root"
root=$target/root
mount -t overlay overlay -o "lowerdir=$base,upperdir=$target/upper,workdir=$target/work" "$root"
mount -t proc proc "$root/proc"
mount -t devtmpfs dev "$root/dev" 2>/dev/null || mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
cp -L /etc/resolv.conf "$root/etc/resolv.conf.lab"
bound=1
mount --bind "$root/etc/resolv.conf.lab" "$root/etc/resolv.conf" 2>/dev/null || { bound=; cp -L /etc/resolv.conf "$root/etc/resolv.conf"; }
# The package scripts' own way to be told not to start anything (invoke-rc.d(8)).
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
in_root() { DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }
in_root apt-get update
in_root apt-get satisfy -y --no-install-recommends "$relations"
in_root apt-get clean
# A fresh server has none of these packages yet: in the image they are only so that no mirror is needed, and what they
# enabled may not start at its first boot. What `tandem apply` needs, it enables.
enabled=$(find "$target/upper/etc/systemd/system" -path '*.wants/*.service' -type l -printf '%f\n' 2>/dev/null | sort -u)
for unit in $enabled; do systemctl --root "$root" disable "$unit"; done
left=$(find "$root/etc/systemd/system" -path '*.wants/*.service' -type l -printf '%f\n' 2>/dev/null | sort -u)
for unit in $enabled; do
  case " $(echo $left) " in *" $unit "*) echo "$unit is still enabled"; exit 1 ;; esac
done
rm -f "$root/usr/sbin/policy-rc.d"
[ -z "$bound" ] || umount "$root/etc/resolv.conf"
rm -f "$root/etc/resolv.conf.lab"
