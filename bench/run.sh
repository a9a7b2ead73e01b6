#!/usr/bin/env bash
# Measures the cost of the proxy and compares it with nginx, haproxy and a plain Kestrel + HttpClient relay: same run, same mock
# host, same load.
#
#   bench/run.sh [--quick] [--only ROW,ROW] [--scenario NAME,NAME] [--rounds N] [--write]
#
#   --quick      one short round (about 20 s per row): a smoke test, not a measurement
#   --only       nginx haproxy kestrel proxy proxy-renamed proxy-translated proxy-journaled proxy-sqlite proxy-nats proxy-sockets proxy-epoll
#                (default: all but the last). A row that the proxy's configuration check rejects is skipped with a message.
#                Without nginx there are no ratios.
#   --scenario   requests (1 KiB in, 1.3 KiB out) · streams200 (× 50 tokens/s) · streams2000 (× 5 tokens/s; memory too) ·
#                start (exec to /health) · idle (RSS of a process that has served nothing)
#   --rounds     how often each row is measured; the rows take turns (default: 3)
#   --write      also write the tables to bench/RESULTS.md
#
# The proxy is dist/proxy, or $PROXY_BINARY. All servers listen on free ports of 127.0.0.1 and run on two cores. See README.md.
set -Eeuo pipefail
trap 'echo "bench: stopped at line $LINENO" >&2' ERR
export LC_ALL=C

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")
if [ "$(nproc)" -gt 2 ] && [ -z "${BENCH_PINNED:-}" ] && command -v taskset >/dev/null; then
    BENCH_PINNED=1 exec taskset -c 0,1 "$bench/run.sh" "$@"
fi

rows=nginx,haproxy,kestrel,proxy,proxy-renamed,proxy-translated,proxy-nats,proxy-sockets
scenarios=start,idle,streams2000,streams200,requests
rounds=3 seconds=10 request_seconds=6 warm=1 starts=20 settle=2 write=no
asked="bench/run.sh${*:+ $*}"
while [ $# -gt 0 ]; do
    case $1 in
        --quick) rounds=1 seconds=2 request_seconds=2 starts=5 settle=0.5 ;;
        --only) rows=$2; shift ;;
        --scenario) scenarios=$2; shift ;;
        --rounds) rounds=$2; shift ;;
        --write) write=yes ;;
        -h|--help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) echo "bench: '$1' is not an option; --help lists them" >&2; exit 2 ;;
    esac
    shift
done
rows=${rows//,/ } scenarios=" ${scenarios//,/ } "
known=" nginx haproxy kestrel proxy proxy-renamed proxy-translated proxy-journaled proxy-sqlite proxy-nats proxy-epoll proxy-sockets "
for row in $rows; do
    [[ $known == *" $row "* ]] || { echo "bench: there is no row '$row';$known" >&2; exit 2; }
done
for scenario in $scenarios; do
    [[ " requests streams200 streams2000 start idle " == *" $scenario "* ]] || { echo "bench: there is no scenario '$scenario'" >&2; exit 2; }
done

. "$bench/row.sh"

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 8192 ] || { echo "bench: needs 8192 open files a process; the hard limit is $(ulimit -n)" >&2; exit 1; }

# --- requirements ---

absent=
for tool in gcc nginx haproxy nats-server; do
    [[ $tool == gcc || " $rows " == *" ${tool/nats-server/proxy-nats} "* ]] || continue
    PATH=$PATH:/usr/sbin command -v $tool >/dev/null || absent+=" $tool"
done
if [ -n "$absent" ]; then
    install="apt-get install -y --no-install-recommends${absent/gcc/gcc libc6-dev}"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "bench: missing$absent. As root: $install" >&2
        exit 1
    fi
    say "installing$absent"
    policy=/usr/sbin/policy-rc.d  # prevents the packages from starting their services on this machine's ports
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        trap 'rm -f $policy' EXIT
        { apt-get update && $install; } >&2
        rm -f $policy
        trap - EXIT
    else
        { apt-get update && $install; } >&2
    fi
fi
PATH=$PATH:/usr/sbin

build_tools
relay=$tools/kestrel-relay/kestrel-relay
if [[ " $rows " == *" kestrel "* ]] && [ ! "$relay" -nt "$bench/kestrel-relay/Program.cs" ]; then
    say "building kestrel-relay"
    dotnet publish "$bench/kestrel-relay" -c Release -r "linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')" -o "$tools/kestrel-relay" -v q --nologo >&2
fi
proxy=${PROXY_BINARY:-$root/dist/proxy}

# --- the mock host ---

work=$(mktemp -d)
raw=$work/raw.tsv notes=$work/notes
: >"$raw"
: >"$notes"
running=()
end_all() {
    for pid in "${running[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap end_all EXIT
trap 'exit 130' INT TERM

start_mock
running+=("$mock_pid")
if [[ " $rows " == *" proxy-nats "* ]]; then
    start_nats
    running+=("$nats_pid")
fi
stayers=("${running[@]}")

# --- the rows: each sets command and model for its port ---

prepare() { # argument: row
    local dir=$work/$1
    mkdir -p "$dir/run"
    model=mock
    case $1 in
        nginx)
            cat >"$dir/nginx.conf" <<NGINX
daemon off;
worker_processes 2;
$([ "$(id -u)" = 0 ] && echo "user root;")
worker_rlimit_nofile $(ulimit -n | sed s/unlimited/65536/);
pid $dir/nginx.pid;
error_log $dir/error.log error;
events { worker_connections 8000; }
http {
    access_log off;
    client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
    upstream host { server 127.0.0.1:$mock; keepalive 4000; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:$port backlog=4096;
        keepalive_requests 100000000;
        location / {
            proxy_pass http://host;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 300s;
        }
    }
}
NGINX
            command=(nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf") ;;
        haproxy)
            cat >"$dir/haproxy.cfg" <<HAPROXY
global
    nbthread 2
    maxconn 3900
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    option http-no-delay
    http-reuse always
frontend front
    bind 127.0.0.1:$port backlog 4096
    default_backend host
backend host
    server mock 127.0.0.1:$mock
HAPROXY
            command=(haproxy -db -q -f "$dir/haproxy.cfg") ;;
        kestrel)
            command=("$relay" "$port" "http://127.0.0.1:$mock") ;;
        proxy*)
            local family=openai transport=
            [ "$1" != proxy-renamed ] || model=a-longer-name
            [ "$1" != proxy-translated ] || family=ollama
            [ "$1" != proxy-epoll ] || transport='transport = "epoll"'
            [ "$1" != proxy-sockets ] || transport='transport = "sockets"'
            local sections=
            [ "$1" != proxy-journaled ] || sections=$'[streams]\nresume = "all"\nkeep = "5s"\nmemory = "1GiB"'
            [ "$1" != proxy-sqlite ] || sections=$'[store]\nkind = "sqlite"'
            [ "$1" != proxy-nats ] || sections=$'[nats]\n'"url = \"nats://127.0.0.1:$nats\""
            proxy_config "$family" "$transport" "$sections" >"$dir/config.toml"
            export RUNTIME_DIRECTORY=$dir/run STATE_DIRECTORY=$dir/run CACHE_DIRECTORY=$dir/run
            command=("$proxy" serve --config "$dir/config.toml") ;;
    esac
}

family_of() { # argument: pid; prints it and its children, separated by commas
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v p="$1" '{ pid = $1; sub(/.*\) /, ""); if ($2 == p) all = all "," pid } END { print p all }'
}

note() { echo "$*" | tee -a "$notes" >&2; }

measure() { # arguments: row, round, prefix of each name, load's arguments...
    local row=$1 round=$2 prefix=$3 name value
    shift 3
    "$tools/load" "$@" >"$work/out" 2>"$work/err" || note "$row, $1, round $round: $(tr '\n' ' ' <"$work/err" | head -c 400)$(grep -E '_broken [1-9]|inside_window [1-9]' "$work/out" | tr '\n' ' ' || true)"
    while read -r name value; do printf '%s\t%s\t%s\t%s\n' "$row" "$round" "$prefix$name" "$value" >>"$raw"; done <"$work/out"
}

one_round() { # arguments: row, round
    local row=$1 round=$2 pid pids
    port=$("$tools/load" port)
    prepare "$row"
    if [[ $round == 1 && $scenarios == *" start "* ]]; then
        measure "$row" "$round" "" start --to "$port" --count "$starts" --log "$work/$row/start.log" -- "${command[@]}"
    fi

    (cd "$work/$row" && exec "${command[@]}") >>"$work/$row/log" 2>&1 &
    pid=$!
    running+=("$pid")
    for ((i = 0; i < 200; i++)); do
        if answers /health; then break; fi
        sleep 0.05
    done
    if ! answers /health; then
        note "$row does not start: $(tail -n 3 "$work/$row/log" | tr '\n' ' ' | head -c 300)"
        kill "$pid" 2>/dev/null || true
        return 0
    fi
    pids=$(family_of "$pid")
    sleep "$settle"
    if [[ $scenarios == *" idle "* ]]; then measure "$row" "$round" "" memory --pids "$pids"; fi

    local common=(--to "$port" --key "$key" --model "$model" --pids "$pids")
    if "$tools/load" requests "${common[@]}" --warm 0.5 --secs 0.5 >"$work/out" 2>"$work/err" &&
        "$tools/load" streams "${common[@]}" --conns 20 --warm 0.5 --secs 0.5 >"$work/out" 2>>"$work/err"; then
        if [[ $scenarios == *" streams2000 "* ]]; then
            measure "$row" "$round" many_ streams "${common[@]}" --conns 2000 --rate 5 --warm $warm --secs "$seconds"
        fi
        if [[ $scenarios == *" streams200 "* ]]; then measure "$row" "$round" "" streams "${common[@]}" --conns 200 --rate 50 --warm $warm --secs "$seconds"; fi
        if [[ $scenarios == *" requests "* ]]; then measure "$row" "$round" "" requests "${common[@]}" --conns 32 --warm $warm --secs "$request_seconds"; fi
        if [[ $row == proxy* && $round == 1 ]]; then
            answers /metrics || note "$row: /metrics does not answer"
            local lines
            lines=$(wc -l <"$work/$row/log")
            [ "$lines" -gt 1000 ] || note "$row: only $lines lines in its log; the ledger line is part of what is measured"
        fi
    else
        note "$row is left out: $(tr '\n' ' ' <"$work/err" | head -c 400)"
    fi
    kill "$pid" 2>/dev/null || note "$row died: $(tail -n 3 "$work/$row/log" | tr '\n' ' ' | head -c 300)"
    for ((i = 0; i < 400; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null && note "$row did not end in 40 s"
    wait "$pid" 2>/dev/null || true
    running=("${stayers[@]}")
    : >"$work/$row/log"
}

# --- the rounds ---

usable=
for row in $rows; do
    if [[ $row == proxy* ]]; then
        if [ ! -x "$proxy" ]; then
            note "$row is left out: there is no dist/proxy; ./build.sh makes it"
            continue
        fi
        port=1
        prepare "$row"
        if ! refusal=$("$proxy" check --config "$work/$row/config.toml" 2>&1); then
            note "$row is left out, its configuration is refused: $(tr '\n' ' ' <<<"$refusal" | sed "s|$work/||g" | head -c 300)"
            continue
        fi
    fi
    usable+=" $row"
done
load_before=$(cut -d' ' -f1 /proc/loadavg)
for ((round = 1; round <= rounds; round++)); do
    for row in $usable; do
        say "round $round of $rounds: $row"
        one_round "$row" "$round"
    done
done

# --- the tables ---

tables() {
    awk -F'\t' -v order="$usable" '
        function sorted(row, metric, of,    i, j, n, x) { # fills v[1..n], ascending; with `of`, each value is divided by the value of that row in the same round
            n = 0
            for (i = 1; i <= last; i++) if ((row, i, metric) in value && (of == "" || value[of, i, metric] > 0))
                v[++n] = of == "" ? value[row, i, metric] : value[row, i, metric] / value[of, i, metric]
            for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j - 1]; j--) { x = v[j]; v[j] = v[j - 1]; v[j - 1] = x }
            return n
        }
        function median(row, metric, form, of,    n) {
            n = sorted(row, metric, of)
            return n == 0 ? "–" : sprintf(form, n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2)
        }
        function range(row, metric, form,    n) {
            n = sorted(row, metric, "")
            return n == 0 ? "–" : sprintf(form " – " form, v[1], v[n])
        }
        function line(cells) { print "| " cells " |" }
        function rule(n) { while (n-- > 0) printf "|---"; print "|" }
        { value[$1, $2, $3] = $4 + 0; if ($2 > last) last = $2 }
        END {
            count = split(order, rows, " ")
            print "Medians; × is the median of the ratios to nginx in the same round.\n"
            line("row | µs CPU/request | × | µs CPU/event, 200 streams × 50/s | × | µs CPU/event, 2,000 streams × 5/s | × | MiB RSS/1,000 streams | private dirty | exec → /health ms | idle RSS MiB")
            rule(11)
            for (i = 1; i <= count; i++) { r = rows[i]
                line(r " | " median(r, "request_us", "%.1f") " | " median(r, "request_us", "%.2f", "nginx") " | " median(r, "event_us", "%.1f") " | " median(r, "event_us", "%.2f", "nginx") \
                    " | " median(r, "many_event_us", "%.1f") " | " median(r, "many_event_us", "%.2f", "nginx") " | " median(r, "many_stream_rss_mib_per_1000", "%.1f") \
                    " | " median(r, "many_stream_dirty_mib_per_1000", "%.1f") " | " median(r, "start_ms", "%.0f") " | " median(r, "idle_rss_mib", "%.1f")) }
            line("*goal for the proxy* |  | ≤ 1.00 |  | ≤ 1.00 |  | ≤ 1.00 | ≤ 8 |  | ≤ 100 | ≤ 45")
            print "\nLowest and highest value of the rounds.\n"
            line("row | µs CPU/request | µs CPU/event, 200 streams | µs CPU/event, 2,000 streams | MiB RSS/1,000 streams | exec → /health ms")
            rule(6)
            for (i = 1; i <= count; i++) { r = rows[i]
                starts = ((r, 1, "start_min_ms") in value) ? sprintf("%.0f – %.0f", value[r, 1, "start_min_ms"], value[r, 1, "start_max_ms"]) : "–"
                line(r " | " range(r, "request_us", "%.1f") " | " range(r, "event_us", "%.1f") " | " range(r, "many_event_us", "%.1f") " | " range(r, "many_stream_rss_mib_per_1000", "%.1f") " | " starts) }
            print "\nThese values have no goals, but show whether the run is valid: each token arrives in a read of its own and without delay, and no stream breaks.\n"
            line("row | requests/s | kernel share/request | events/read, 200 | token delay ms p50 / p99, 200 | events/read, 2,000 | token delay ms p50 / p99, 2,000 | whole streams of 200, 2,000")
            rule(8)
            for (i = 1; i <= count; i++) { r = rows[i]
                line(r " | " median(r, "requests_per_s", "%.0f") " | " median(r, "request_kernel_share", "%.2f") " | " median(r, "events_per_read", "%.2f") \
                    " | " median(r, "delay_p50_ms", "%.2f") " / " median(r, "delay_p99_ms", "%.2f") " | " median(r, "many_events_per_read", "%.2f") \
                    " | " median(r, "many_delay_p50_ms", "%.2f") " / " median(r, "many_delay_p99_ms", "%.2f") " | " median(r, "streams_whole", "%d") ", " median(r, "many_streams_whole", "%d")) }
        }' "$raw"
    if [ -s "$notes" ]; then
        echo
        sed 's/^/- /' "$notes"
    fi
}

report() {
    cat <<MARKDOWN
# Results

\`$asked\` on $(date -u +%F), $rounds round$([ "$rounds" = 1 ] || echo s) of ${seconds} s a stream scenario and ${request_seconds} s of requests. Load of the machine when it began: $load_before.

$(tables)

## The machine

- $(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores used, $(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo); Linux $(uname -r) $(uname -m); $(. /etc/os-release && echo "$PRETTY_NAME")
- $(nginx -v 2>&1 | sed 's/.*: //' || echo no nginx); $(haproxy -v 2>/dev/null | head -n 1 | cut -d' ' -f1-3 || echo no haproxy); .NET SDK $(cd "$root" && dotnet --version 2>/dev/null || echo none); $(gcc --version | head -n 1)
- proxy: $([ -x "$proxy" ] && "$proxy" version 2>/dev/null | head -n 1 || echo not built), commit $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)$(git -C "$root" diff --quiet HEAD -- . ':!bench/RESULTS.md' 2>/dev/null || echo ", with changes")

\`bench/README.md\` explains each number.
MARKDOWN
}

tables
if [ $write = yes ]; then
    report >"$work/RESULTS.md"
    cp "$work/RESULTS.md" "$bench/RESULTS.md"
    say "written to bench/RESULTS.md"
fi
