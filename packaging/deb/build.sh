#!/usr/bin/env bash
# Packs a published binary as a Debian package and prints the package's path. The same inputs and $SOURCE_DATE_EPOCH give the same bytes.
#   packaging/deb/build.sh BINARY FOLDER [SBOM]
set -euo pipefail
binary=$(realpath "$1") folder=$(realpath "$2") sbom=${3:+$(realpath "$3")}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=$(sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' Directory.Build.props)
case $(readelf -h "$binary" | sed -n 's/ *Machine: *//p') in
  *X86-64) architecture=amd64 ;;
  AArch64) architecture=arm64 ;;
  *) echo "no Debian architecture for $binary" >&2; exit 1 ;;
esac
root=.build/deb
packaging/stage.sh "$binary" "$root" ${sbom:+"$sbom"}

mkdir -p "$root/DEBIAN"
cp packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm "$root/DEBIAN"
chmod 755 "$root"/DEBIAN "$root"/DEBIAN/*
echo /etc/proxy/config.toml >"$root/DEBIAN/conffiles"
# The sum of the files and not what they take on this disk, so that it is the same everywhere.
size=$(find "$root" -path "$root/DEBIAN" -prune -o -type f -printf '%s\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }')
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$size/" packaging/deb/control >"$root/DEBIAN/control"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod 644 "$root"/DEBIAN/{control,conffiles,md5sums}

# xz, because Debian 11 cannot unpack zstd, the default on newer machines. One thread, because more of them cut the file into other blocks.
package=$folder/proxy_${version}_$architecture.deb
dpkg-deb --root-owner-group --threads-max=1 -Zxz -z2 --build "$root" "$package" >/dev/null 2>&1 \
  || dpkg-deb --root-owner-group -Zxz -z2 --build "$root" "$package" >/dev/null # older than Debian 12
rm -rf "$root"
echo "$package"
