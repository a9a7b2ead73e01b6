#!/usr/bin/env bash
# What the embedded store of documents costs: appending, the dense stage beside a bare int8 scan, its recall against exact floats, and memory.
#
#   bench/vectors.sh [CHUNKS] [TERMS]      default: 100000 chunks of 60 terms; a few minutes, with 1000000 an hour
#
# The vectors are those of the bundled model for the pages of bench/retrieval.sh, perturbed. Run that first: it fetches the pages. Exit code 1: recall@10 is
# below 0.99.
set -Eeuo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")
case ${1:-} in -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;; esac
collection=$root/.build/bench-retrieval/collection
[ -d "$collection" ] || { echo "run bench/retrieval.sh first" >&2; exit 2; }
[ -f "$collection/d.f32" ] || dotnet "$bench/retrieval/bin/Release/net10.0/retrieval-bench.dll" embed "$collection"
dotnet publish "$bench/vectors" -c Release -v q --nologo -o "$root/.build/bench-vectors" >"$root/.build/bench-vectors.log" 2>&1 \
    || { tail -20 "$root/.build/bench-vectors.log" >&2; exit 1; }
exec "$root/.build/bench-vectors/vectors-bench" "$collection/d.f32" "${1:-100000}" "$root/.build" "${@:2}"
