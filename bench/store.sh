#!/usr/bin/env bash
# What a record in SQLite costs beside the bare insert of its row, in one run.
#
#   bench/store.sh [ROUNDS] [ROWS] [CALLS_AT_ONCE]     default: 15 rounds of 5000 rows, 50 calls at once; a minute
#
# The files are made in .build, and deleted. Exit code 1: the median of the CPU ratios is above 1.5.
set -Eeuo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")
case ${1:-} in -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;; esac
mkdir -p "$root/.build"
dotnet publish "$bench/store" -c Release -v q --nologo -o "$root/.build/bench-store" >"$root/.build/bench-store.log" 2>&1 \
    || { tail -20 "$root/.build/bench-store.log" >&2; exit 1; }
exec "$root/.build/bench-store/store-bench" "$root/.build" "${@:-15}"
