#!/usr/bin/env bash
# How long an event takes from a worker's publish to the client's byte, beside a bare NATS subscriber in the same run, and how long launches take.
#
#   bench/workflows.sh [BINARY] [WORKFLOWS] [SECONDS]     default: dist/proxy, 100 workflows at a time with ten tokens a second each, 20 seconds
#
# It needs nats-server ($NATS_SERVER) with JetStream and the .NET SDK. Everything listens on free ports of 127.0.0.1 and is ended at the end. The launchers
# systemd and dagster are left out: they need a systemd and a Dagster. Exit code 1: the client's median is more than 1 ms, or its 99th percentile more than
# 5 ms, above the subscriber's. bench/WORKFLOWS.md has the figures.
set -Eeuo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")
case ${1:-} in -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;; esac
binary=${1:-$root/dist/proxy}
[[ -x $binary ]] || { echo "$binary is not there: ./build.sh publish, or name a binary" >&2; exit 2; }
work=$(mktemp -d)
running=()
trap 'for pid in "${running[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done; rm -rf "$work"' EXIT

mkdir -p "$root/.build"
dotnet publish "$bench/workflows" -c Release -v q --nologo -o "$root/.build/bench-workflows" >"$root/.build/bench-workflows.log" 2>&1 \
    || { tail -20 "$root/.build/bench-workflows.log" >&2; exit 1; }

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
nats=$(port) listen=$(port)
"${NATS_SERVER:-nats-server}" -a 127.0.0.1 -p "$nats" -js -sd "$work/nats" >"$work/nats.log" 2>&1 &
running+=($!)
until (: 3<>"/dev/tcp/127.0.0.1/$nats") 2>/dev/null; do
    kill -0 "${running[-1]}" 2>/dev/null || { cat "$work/nats.log" >&2; exit 2; }
    sleep 0.05
done

cat >"$work/job" <<'EOF'
#!/bin/sh
read -r job
echo '{"type":"token","text":"0 "}'
echo '{"type":"finished"}'
EOF
chmod +x "$work/job"
cat >"$work/config.toml" <<EOF
[server]
listen = ["127.0.0.1:$listen"]
[inference]
bundled = false
[nats]
url = "nats://127.0.0.1:$nats"
[[pipelines]]
name = "stream"
launcher = "jetstream"
[[pipelines]]
name = "launch"
launcher = "jetstream"
[[pipelines]]
name = "process"
launcher = "process"
command = ["$work/job"]
EOF
HOME=$work "$binary" serve --config "$work/config.toml" >"$work/proxy.log" 2>&1 &
running+=($!)
until [[ $(grep -c 'has its queue' "$work/proxy.log") -ge 2 ]]; do
    kill -0 "${running[-1]}" 2>/dev/null || { cat "$work/proxy.log" >&2; exit 1; }
    sleep 0.05
done
"$root/.build/bench-workflows/workflows-bench" "$listen" "$nats" "${2:-100}" "${3:-20}"
