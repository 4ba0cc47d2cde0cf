# Makes the image ($3) of /var from a system's lower folders ($1), working in $2.
set -eu
lower=$1 target=$2 image=$3 size=$4
mkdir -p "$target/root" "$target/upper" "$target/work"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$target/upper,workdir=$target/work" "$target/root"
rm -f "$image.new"
mkfs.ext4 -q -L tandem-var -d "$target/root/var" "$image.new" "$size"
mv "$image.new" "$image"
