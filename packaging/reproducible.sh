#!/usr/bin/env bash
# Builds the last commit in two new folders and compares what comes out, byte by byte. Takes two publishes.
#   packaging/reproducible.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in one another/place; do
  git clone --quiet . "$work/$folder"
  mkdir -p "$work/$folder/.build"
  for sysroot in .build/sysroot-[0-9a-f]*; do [[ ! -d $sysroot ]] || ln -s "$(realpath "$sysroot")" "$work/$folder/.build/"; done
  (cd "$work/$folder" && ./build.sh release)
done
cd "$work/one/dist"
for file in proxy proxy_*.deb proxy_*.tar.gz proxy_*.cdx.json SHA256SUMS; do
  cmp "$file" "$work/another/place/dist/$file"
  echo "equal: $(sha256sum "$file")"
done
