#!/usr/bin/env bash
# How well searches find: manual pages by their one-line descriptions, which are held apart from the pages' texts.
#
#   bench/retrieval.sh [RERANKER_FOLDER]     prints the table; about five minutes. The folder has a cross-encoder as ONNX; without it the last row is left out.
#   bench/retrieval.sh --speed [CHUNKS]      times whole searches over made-up chunks in the embedded store; default 100000
#   bench/retrieval.sh --ingest              reading and storing files beside embedding alone; exit code 1: less than 90 % of its rate
#
# The pages come from Debian's packages, fetched anew into .build and not kept in the repository. Exit code 1: the product's analyser loses more than 0.003
# nDCG@10 against the recipe's, or fewer than 99 % of the identifiers that stand in one page are found first.
set -Eeuo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")
case ${1:-} in -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;; esac
work=$root/.build/bench-retrieval
packages="manpages manpages-dev git-man coreutils util-linux systemd procps iproute2 openssh-client tar"
mkdir -p "$work/packages" "$work/pages"
cd "$work/packages"
# shellcheck disable=SC2086
apt-get download $packages >"$work/apt.log" 2>&1 || { tail -5 "$work/apt.log" >&2; exit 1; }
for package in *.deb; do dpkg-deb --fsys-tarfile "$package" | tar -x -C "$work/pages" --wildcards './usr/share/man/*'; done
cd "$root"
dotnet build "$bench/retrieval" -c Release -v q --nologo >"$work/build.log" 2>&1 || { tail -20 "$work/build.log" >&2; exit 1; }
program=("dotnet" "$bench/retrieval/bin/Release/net10.0/retrieval-bench.dll")
"${program[@]}" pages "$work/pages" "$work/collection"
if [ "${1:-}" = --speed ]; then exec "${program[@]}" speed "$work/collection" "${2:-100000}" "$work"; fi
if [ "${1:-}" = --ingest ]; then exec "${program[@]}" ingest "$work/collection" "$work"; fi
exec "${program[@]}" run "$work/collection" "$@"
