#!/usr/bin/env bash
# Puts a published binary and what belongs to it into a folder, in the places where they are installed. The Debian package and the tarball are made of it.
#   packaging/stage.sh BINARY FOLDER [SBOM]
# A binary for another processor is run by qemu, with the libraries of $PROXY_SYSROOT.
set -euo pipefail
binary=$(realpath "$1") root=$(realpath -m "$2") sbom=${3:+$(realpath "$3")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

umask 022
rm -rf "$root"
install -Dm755 "$binary" "$root/usr/bin/proxy"
install -Dm644 config.example.toml "$root/etc/proxy/config.toml"
install -Dm644 -t "$root/lib/systemd/system" proxy.service proxy.socket
documents=$root/usr/share/doc/proxy
for document in README.md CHANGELOG.md docs/*.md; do
  [[ ! -e $document ]] || install -Dm644 -t "$documents" "$document"
done
install -Dm644 -t "$documents/deploy" docs/deploy/*.md
for examples in workers dagster systemd quadlet container three-hosts grafana vector; do
  find "packaging/$examples" -maxdepth 1 -type f -print0 | xargs -0 install -Dm644 -t "$documents/examples/$examples"
done
install -Dm644 packaging/copyright "$documents/copyright"
[[ -z $sbom ]] || install -Dm644 "$sbom" "$documents/sbom.cdx.json"

proxy() { # the staged program
  case $(readelf -h "$root/usr/bin/proxy" | sed -n 's/ *Machine: *//p')-$(uname -m) in
    X86-64-x86_64 | *X86-64-x86_64 | AArch64-aarch64) "$root/usr/bin/proxy" "$@" ;;
    AArch64-*) qemu-aarch64-static -L "$PROXY_SYSROOT" "$root/usr/bin/proxy" "$@" ;;
    *) echo "nothing runs $binary here" >&2; return 1 ;;
  esac
}
put() { # path, verb...: what the verb prints
  mkdir -p "$root/$(dirname "$1")"
  proxy "${@:2}" >"$root/$1"
  chmod 644 "$root/$1"
}
put usr/share/doc/proxy/NOTICES version --licenses
put usr/share/man/man1/proxy.1 man
gzip -9n "$documents/NOTICES" "$root/usr/share/man/man1/proxy.1"
put usr/share/bash-completion/completions/proxy completion bash
put usr/share/zsh/vendor-completions/_proxy completion zsh
put usr/share/fish/vendor_completions.d/proxy.fish completion fish
find "$root" -type d -exec chmod 755 {} +
