#!/usr/bin/env bash
# Packs a published binary as a Debian package and prints the package's path.
#   packaging/deb/build.sh BINARY FOLDER
set -euo pipefail
binary=$(realpath "$1") folder=$(realpath "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=$(sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' Directory.Build.props)
architecture=$(dpkg --print-architecture)
root=.build/deb
rm -rf "$root"
install -Dm755 "$binary" "$root/usr/bin/proxy"
install -Dm644 config.example.toml "$root/etc/proxy/config.toml"
install -Dm644 -t "$root/lib/systemd/system" proxy.service proxy.socket
for document in README.md CHANGELOG.md docs/*.md; do
  [[ ! -e $document ]] || install -Dm644 -t "$root/usr/share/doc/proxy" "$document"
done
for examples in workers dagster systemd quadlet grafana vector; do
  find "packaging/$examples" -maxdepth 1 -type f -print0 | xargs -0 install -Dm644 -t "$root/usr/share/doc/proxy/examples/$examples"
done
install -Dm644 packaging/copyright "$root/usr/share/doc/proxy/copyright"
"$root/usr/bin/proxy" version --licenses | gzip -9n >"$root/usr/share/doc/proxy/NOTICES.gz"
chmod 644 "$root/usr/share/doc/proxy/NOTICES.gz"

mkdir -p "$root/DEBIAN"
cp packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm "$root/DEBIAN"
chmod 755 "$root"/DEBIAN/*
echo /etc/proxy/config.toml >"$root/DEBIAN/conffiles"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" \
  -e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$root" | cut -f1)/" packaging/deb/control >"$root/DEBIAN/control"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)

# xz, because Debian 11 cannot unpack zstd, the default on newer machines.
package=$folder/proxy_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz -z2 --build "$root" "$package" >/dev/null
rm -rf "$root"
echo "$package"
