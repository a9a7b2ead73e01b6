#!/usr/bin/env bash
# Packs a published binary and what belongs to it as a tarball and prints its path. The same inputs and $SOURCE_DATE_EPOCH give the same bytes.
#   packaging/tarball.sh BINARY FOLDER [SBOM]
set -euo pipefail
binary=$(realpath "$1") folder=$(realpath "$2") sbom=${3:+$(realpath "$3")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' Directory.Build.props)
case $(readelf -h "$binary" | sed -n 's/ *Machine: *//p') in *X86-64) architecture=amd64 ;; *) architecture=arm64 ;; esac
name=proxy_${version}_$architecture
packaging/stage.sh "$binary" ".build/tarball/$name" ${sbom:+"$sbom"}
tar --create --sort=name --format=gnu --mtime="@${SOURCE_DATE_EPOCH:?is set by build.sh}" --owner=0 --group=0 --numeric-owner --directory=.build/tarball "$name" \
  | gzip -9n >"$folder/$name.tar.gz"
rm -rf .build/tarball
echo "$folder/$name.tar.gz"
