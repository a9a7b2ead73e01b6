#!/usr/bin/env bash
# Compares the CPU cost of two binaries in one run: they take turns, pair by pair.
#
#   bench/pairs.sh OLD_BINARY NEW_BINARY [PAIRS]     default: 15 pairs, about 12 minutes
#
# Each pair starts a new process for each transport (epoll, sockets) and binary; the order of the binaries alternates from pair
# to pair. Each process is measured per request (1 KiB in, 1.3 KiB out), per event at 200 streams (× 50 tokens/s) and per event
# at 2,000 streams (× 5 tokens/s). The output is the median of the pairs' new/old ratios of process CPU with its 95 % bootstrap
# interval, then the system calls (counted with perf, or with strace if perf is missing). $SECS is the length of each
# measurement (2), $WARM the warm-up before it (0.3); $TRANSPORTS and $SCENARIOS (requests streams200 streams2000) select rows.
# Exit code 1: a median is above 1.02 and its interval is above 1.00.
set -Eeuo pipefail
trap 'echo "bench: stopped at line $LINENO" >&2' ERR
export LC_ALL=C

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")
case ${1:-} in -h | --help | "") sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;; esac
[ $# -ge 2 ] && [ -x "$1" ] && [ -x "$2" ] || { echo "bench: pairs.sh OLD_BINARY NEW_BINARY [PAIRS]; both must be there and be programs" >&2; exit 2; }
[[ ${3:-15} =~ ^[1-9][0-9]*$ ]] || { echo "bench: '$3' is not a number of pairs" >&2; exit 2; }
if [ "$(nproc)" -gt 2 ] && [ -z "${BENCH_PINNED:-}" ] && command -v taskset >/dev/null; then
    BENCH_PINNED=1 exec taskset -c 0,1 "$bench/pairs.sh" "$@"
fi

declare -A binary=([old]=$(realpath "$1") [new]=$(realpath "$2"))
pairs=${3:-15} secs=${SECS:-2} warm=${WARM:-0.3}
read -ra transports <<<"${TRANSPORTS:-epoll sockets}"
read -ra scenarios <<<"${SCENARIOS:-requests streams200 streams2000}"
ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 8192 ] || { echo "bench: needs 8192 open files a process; the hard limit is $(ulimit -n)" >&2; exit 1; }
command -v gcc >/dev/null || { echo "bench: needs gcc: ./build.sh setup bench" >&2; exit 1; }

work=$(mktemp -d)
raw=$work/raw.tsv calls=$work/calls.tsv notes=$work/notes
: >"$raw" >"$calls" >"$notes"
mock_pid='' proxy_pid=''
end_all() {
    for pid in $proxy_pid $mock_pid; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap end_all EXIT
trap 'exit 130' INT TERM

. "$bench/row.sh"
build_tools
start_mock

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
note() { echo "$*" | tee -a "$notes" >&2; }

# --- one process ---

start_proxy() { # arguments: old or new, transport
    local dir=$work/$1-$2 i
    mkdir -p "$dir/run"
    port=$("$tools/load" port)
    proxy_config openai "transport = \"$2\"" >"$dir/config.toml"
    RUNTIME_DIRECTORY=$dir/run STATE_DIRECTORY=$dir/run CACHE_DIRECTORY=$dir/run "${binary[$1]}" serve --config "$dir/config.toml" >"$dir/log" 2>&1 &
    proxy_pid=$!
    for ((i = 0; i < 400; i++)); do
        ! answers /health || return 0
        sleep 0.05
    done
    note "$1 on $2 does not start: $(tail -n 3 "$dir/log" | tr '\n' ' ' | head -c 300)"
    return 1
}

stop_proxy() {
    kill "$proxy_pid" 2>/dev/null || true
    wait "$proxy_pid" 2>/dev/null || true
    proxy_pid=''
}

load() { # scenario, options of load; its lines go to $work/out
    local scenario=$1 verb=streams shape=()
    shift
    case $scenario in
        requests) verb=requests; shape=(--conns 32) ;;
        streams200) shape=(--conns 200 --rate 50) ;;
        streams2000) shape=(--conns 2000 --rate 5 --opening 4000) ;;
        *) echo "bench: there is no scenario '$scenario'" >&2; exit 2 ;;
    esac
    "$tools/load" "$verb" --to "$port" --key "$key" --model mock --pids "$proxy_pid" "${shape[@]}" "$@" >"$work/out" 2>"$work/err"
}

measure() { # old or new, transport, pair
    local scenario
    start_proxy "$1" "$2" || return 0
    load requests --conns 8 --warm 0.3 --secs 0.2 || true # what only the first calls cost is in no row
    for scenario in "${scenarios[@]}"; do
        load "$scenario" --warm "$warm" --secs "$secs" ||
            note "$1, $2, $scenario, pair $3: $(tr '\n' ' ' <"$work/err" | head -c 300)$(grep -E '_broken [1-9]|inside_window [1-9]' "$work/out" | tr '\n' ' ' || true)"
        awk -v OFS='\t' -v who="$1" -v row="$2 $scenario" -v pair="$3" '/^(request|event)_us / { print who, row, pair, $2 }' "$work/out" >>"$raw"
    done
    stop_proxy
}

# --- system calls: of a few quiet connections, where the number hardly varies ---

counted() { # command...; runs it, and prints how many system calls the proxy made meanwhile
    if perf stat -e raw_syscalls:sys_enter true >/dev/null 2>&1; then
        perf stat -x, -o "$work/count" -e raw_syscalls:sys_enter -p "$proxy_pid" -- "$@" >"$work/out" 2>"$work/err" || true
        awk -F, '/raw_syscalls/ { print $1 }' "$work/count"
    elif command -v strace >/dev/null; then
        strace -c -f -o "$work/count" -p "$proxy_pid" 2>/dev/null &
        local tracer=$!
        sleep 0.5
        "$@" >"$work/out" 2>"$work/err" || true
        kill -INT "$tracer"
        wait "$tracer" || true
        awk '$NF == "total" { print $4 }' "$work/count"
    fi
}

count_calls() { # old or new, transport
    start_proxy "$1" "$2" || return 0
    load requests --conns 8 --warm 0.3 --secs 0.2 || true
    local common=(--to "$port" --key "$key" --model mock --pids "$proxy_pid" --warm 0 --secs 2) made
    made=$(counted "$tools/load" requests "${common[@]}" --conns 1)
    [ -z "$made" ] || awk -v made="$made" -v OFS='\t' -v row="$1 $2" '$1 == "requests" { print row, "request", made / $2 }' "$work/out" >>"$calls"
    made=$(counted "$tools/load" streams "${common[@]}" --conns 20 --rate 50)
    [ -z "$made" ] || awk -v made="$made" -v OFS='\t' -v row="$1 $2" '$1 == "streams_whole" { print row, "event", made / ($2 * int(50 * (20 / 1000 + 2 + 1))) }' "$work/out" >>"$calls"
    stop_proxy
}

# --- the run ---

load_before=$(cut -d' ' -f1 /proc/loadavg)
for ((pair = 1; pair <= pairs; pair++)); do
    say "pair $pair of $pairs"
    order=(old new)
    ((pair % 2)) || order=(new old)
    for transport in "${transports[@]}"; do
        for who in "${order[@]}"; do measure "$who" "$transport" "$pair"; done
    done
done
for transport in "${transports[@]}"; do
    for who in old new; do count_calls "$who" "$transport"; done
done

cat <<HEAD

$pairs pairs of ${secs} s on $(date -u +%F), load of the machine when it began: $load_before
old: ${binary[old]} ($("${binary[old]}" version 2>/dev/null | head -n 1), $(sha256sum <"${binary[old]}" | head -c 12))
new: ${binary[new]} ($("${binary[new]}" version 2>/dev/null | head -n 1), $(sha256sum <"${binary[new]}" | head -c 12))

HEAD
awk -F'\t' '
    function sort(v, n,    i, j, x) {
        for (i = 2; i <= n; i++) {
            x = v[i]
            for (j = i - 1; j >= 1 && v[j] > x; j--) v[j + 1] = v[j]
            v[j + 1] = x
        }
    }
    function middle(v, n) { sort(v, n); return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
    !($2 in seen) { seen[$2]; order[++rows] = $2 }
    { us[$1, $2, $3] = $4; if ($3 > last) last = $3 }
    END {
        srand(1)
        worse = 0
        print "| CPU of the process | old µs | new µs | new/old | 95 % interval | pairs |"
        print "|---|---|---|---|---|---|"
        for (r = 1; r <= rows; r++) {
            row = order[r]
            n = 0
            for (p = 1; p <= last; p++) if ((("old", row, p) in us) && (("new", row, p) in us) && us["old", row, p] > 0) {
                n++
                old[n] = us["old", row, p]; new[n] = us["new", row, p]; ratio[n] = new[n] / old[n]
            }
            if (n == 0) continue
            draws = 4000
            for (d = 1; d <= draws; d++) {
                for (i = 1; i <= n; i++) drawn[i] = ratio[int(rand() * n) + 1]
                medians[d] = middle(drawn, n)
            }
            # The medians of the draws are among few values: counting sorts them faster than sorting.
            delete times
            values = 0
            for (d = 1; d <= draws; d++) if (!(medians[d] in times)) { times[medians[d]] = 1; value[++values] = medians[d] } else times[medians[d]]++
            sort(value, values)
            low = high = ""
            for (i = so_far = 0; i < values;) {
                so_far += times[value[++i]]
                if (low == "" && so_far >= 0.025 * draws) low = value[i]
                if (high == "" && so_far >= 0.975 * draws) high = value[i]
            }
            name = row
            sub(/ requests/, ": per request", name); sub(/ streams200$/, ": per event, 200 streams", name); sub(/ streams2000/, ": per event, 2,000 streams", name)
            m = middle(ratio, n)
            if (m > 1.02 && low > 1) worse = 1
            printf "| %s | %.2f | %.2f | %.3f | %.3f – %.3f%s | %d |\n", name, middle(old, n), middle(new, n), m, low, high, (high - low > 0.04 ? " (wide)" : ""), n
            delete value
        }
        exit worse
    }' "$raw" && verdict=0 || verdict=$?
if [ -s "$calls" ]; then
    printf '\n| system calls | old | new |\n|---|---|---|\n'
    awk -F'\t' '{ split($1, who, " "); made[who[1], who[2], $2] = $3; if (!((who[2], $2) in seen)) { seen[who[2], $2]; row[++n] = who[2] SUBSEP $2 } }
        END { for (i = 1; i <= n; i++) { split(row[i], p, SUBSEP); printf "| %s: per %s | %.2f | %.2f |\n", p[1], p[2] == "request" ? "request, 1 connection" : "event, 20 streams", made["old", row[i]], made["new", row[i]] } }' "$calls"
fi
if [ -s "$notes" ]; then
    echo
    sed 's/^/- /' "$notes"
fi
exit "$verdict"
