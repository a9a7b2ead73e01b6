#!/usr/bin/env bash
# Makes the folder that `dist/proxy` is linked against: headers and libraries of Debian 11 (glibc 2.31) and OpenSSL's
# static libraries of Debian 12, unpacked from Debian's packages. Needs no root and changes nothing outside its folder.
#   packaging/sysroot.sh FOLDER
set -euo pipefail

folder=$(realpath -m "$1")
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
archive=http://archive.debian.org/debian # old releases are moved there
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
libc=(libc6-dev libc6 linux-libc-dev libgcc-10-dev libgcc-s1 libstdc++6)

made=$folder.making
rm -rf "$made"
mkdir -p "$made"/{root,debs,apt/lists/partial,apt/cache/archives/partial}

private_apt() {
  apt-get -qq -o Dir::Etc::SourceList="$made/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$made/apt/lists" -o Dir::Cache="$made/apt/cache" -o Acquire::Languages=none \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Update::Post-Invoke-Success::= \
    -o APT::Sandbox::User="$(id -un)" "$@"
}

from() { # mirror of Debian 11
  {
    echo "deb [signed-by=$keyring] $1 bullseye main"
    echo "deb [signed-by=$keyring] $mirror bookworm main"
  } >"$made/apt/sources.list"
  private_apt update -o APT::Update::Error-Mode=any
}
from "$mirror" 2>/dev/null || from "$archive"
(cd "$made/debs" && private_apt download "${libc[@]/%//bullseye}" libssl-dev/bookworm)

for package in "$made"/debs/*.deb; do dpkg-deb -x "$package" "$made/root"; done
# An absolute link would point to the building machine's own libraries.
find "$made/root" -type l -lname '/*' | while read -r link; do
  ln -snrf "$made/root$(readlink "$link")" "$link"
done

rm -rf "$folder"
mv "$made/root" "$folder"
rm -rf "$made"
