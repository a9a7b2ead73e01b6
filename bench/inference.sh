#!/usr/bin/env bash
# How fast the models inside the proxy are, beside a bare loop over the same ONNX Runtime and beside a Node server: same run,
# same graphs, same texts, same threads.
#
#   bench/inference.sh [--quick] [--only PART,PART] [--rounds N] [--int8 FOLDER] [--memory] [--write]
#
#   --quick      one round, short: a smoke test, not a measurement
#   --only       throughput (tokens/s, and what padding wastes) · query (one short text) · rerank (100 documents) ·
#                busy (64 clients and a bulk job); left out: all four, about six minutes
#   --rounds     how often each row is measured, the rows taking turns; 3 if unsaid
#   --int8       the folder of sentence-transformers/all-MiniLM-L6-v2 with onnx/model_quantized.onnx, or $MINILM; left out: what
#                `proxy models pull` fetched, or ../shared/models. Without it only the bundled model is measured.
#   --memory     nothing but memory: RSS over 100,000 requests with the bundled model, about ten minutes
#   --write      put the tables into bench/INFERENCE.md too; those of parts that were not measured stay
#
# The proxy is dist/proxy, or $PROXY_BINARY. Everything is on 127.0.0.1 on free ports and on two cores. See README.md.
set -Eeuo pipefail
trap 'echo "bench: stopped at line $LINENO" >&2' ERR
export LC_ALL=C

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")
if [ "$(nproc)" -gt 2 ] && [ -z "${BENCH_PINNED:-}" ] && command -v taskset >/dev/null; then
    BENCH_PINNED=1 exec taskset -c 0,1 "$bench/inference.sh" "$@"
fi

parts=throughput,query,rerank,busy
rounds=3 times=2 seconds=3 busy_seconds=8 requests=100000 write=no memory=no
int8=${MINILM:-}
asked="bench/inference.sh${*:+ $*}"
while [ $# -gt 0 ]; do
    case $1 in
        --quick) rounds=1 times=1 seconds=1 busy_seconds=3 requests=5000 ;;
        --only) parts=$2; shift ;;
        --rounds) rounds=$2; shift ;;
        --int8) int8=$2; shift ;;
        --memory) memory=yes ;;
        --write) write=yes ;;
        -h|--help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) echo "bench: '$1' is not an option; --help lists them" >&2; exit 2 ;;
    esac
    shift
done
[ $memory = no ] || parts=memory
parts=" ${parts//,/ } "
for part in $parts; do
    [[ " throughput query rerank busy memory " == *" $part "* ]] || { echo "bench: there is no part '$part'" >&2; exit 2; }
done
measures() { [[ $parts == *" $1 "* ]]; }
say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

# --- what it needs ---

proxy=${PROXY_BINARY:-$root/dist/proxy}
[ -x "$proxy" ] || { echo "bench: there is no dist/proxy; ./build.sh makes it" >&2; exit 1; }
if [ -z "$int8" ]; then
    for folder in "${STATE_DIRECTORY:-${XDG_DATA_HOME:-$HOME/.local/share}/proxy}/models/sentence-transformers/all-MiniLM-L6-v2" "$root/../shared/models/all-MiniLM-L6-v2"; do
        [ ! -e "$folder/onnx/model_quantized.onnx" ] || { int8=$(realpath "$folder"); break; }
    done
fi
[ -z "$int8" ] || [ -e "$int8/onnx/model_quantized.onnx" ] || { echo "bench: there is no $int8/onnx/model_quantized.onnx" >&2; exit 1; }

absent=
for pair in gcc:gcc node:nodejs npm:npm; do command -v "${pair%:*}" >/dev/null || absent+=" ${pair#*:}"; done
if [ -n "$absent" ]; then
    install="apt-get install -y --no-install-recommends${absent/gcc/gcc libc6-dev}"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "bench: missing$absent. As root: $install" >&2; exit 1; }
    say "installing$absent"
    { apt-get update && $install; } >&2
fi

tools=$root/.build/bench
mkdir -p "$tools/node-embed"
vectors=$tools/vectors loop=$tools/bare-loop/bare-loop
[ "$vectors" -nt "$bench/vectors.c" ] || gcc -O2 -Wall -Wextra -o "$vectors" "$bench/vectors.c" -lm
if [ -n "$(find "$bench/bare-loop" -maxdepth 1 -type f -newer "$loop" 2>/dev/null || echo none)" ]; then
    say "building bare-loop"
    dotnet build "$bench/bare-loop" -c Release -o "$tools/bare-loop" -v q --nologo -nodeReuse:false >&2
    touch "$loop"
fi
if measures throughput || measures query; then
    cp "$bench/node-embed/server.mjs" "$tools/node-embed/"
    if ! cmp -s "$bench/node-embed/package.json" "$tools/node-embed/package.json" || [ ! -d "$tools/node-embed/node_modules" ]; then
        say "installing @huggingface/transformers"
        cp "$bench/node-embed/package.json" "$tools/node-embed/"
        (cd "$tools/node-embed" && npm install --ignore-scripts --no-fund --no-audit --no-package-lock --loglevel error) >&2
    fi
fi

# --- what is started, and ended ---

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
note() { echo "$*" | tee -a "$notes" >&2; }

answers() ( # port, path
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'GET %s HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n' "$2" >&3
    read -r -t 5 status <&3 || status=
    [[ $status == *" 200"* ]]
)

begin() { # name, port, path that answers, command...: sets pid
    local name=$1 port=$2 path=$3
    shift 3
    mkdir -p "$work/$name"
    (cd "$work/$name" && exec "$@") >"$work/$name/log" 2>&1 &
    pid=$!
    running+=("$pid")
    for ((i = 0; i < 600; i++)); do
        if answers "$port" "$path"; then return; fi
        kill -0 $pid 2>/dev/null || break
        sleep 0.05
    done
    echo "bench: $name does not start: $(tail -n 8 "$work/$name/log")" >&2
    exit 1
}

export CACHE_DIRECTORY=$work/cache STATE_DIRECTORY=$work/state RUNTIME_DIRECTORY=$work/run
mkdir -p "$CACHE_DIRECTORY" "$STATE_DIRECTORY" "$RUNTIME_DIRECTORY"
threads=2
proxy_port=$("$vectors" port)
models="all-minilm-q4${int8:+ minilm-int8}"
{
    printf '[server]\nlisten = ["127.0.0.1:%s"]\n' "$proxy_port"
    if [ -n "$int8" ] && [ $memory = no ]; then
        printf '[[inference.models]]\nname = "minilm-int8"\npath = "%s"\n' "$int8"
        if measures rerank; then
            "$loop" graft --model "$int8" --out "$work/cross"
            printf '[[inference.models]]\nname = "cross-int8"\npath = "%s"\n' "$work/cross"
        fi
    fi
} >"$work/config.toml"
[ -n "$int8" ] || [ $memory = yes ] || note "minilm-int8 is left out: no folder was given or found; --int8 names one"

graph() { if [ "$1" = minilm-int8 ]; then echo "$int8/onnx/model_quantized.onnx"; else echo "$root/models/all-minilm/onnx/model.onnx"; fi; }
texts() { # model, cross-encoder: the texts, their token ids and the requests, into $work/texts/MODEL
    (cd "$root" && "$loop" corpus --to "$proxy_port" --model "$1" --rerank "$2" --out "$work/texts/$1" --texts 320 README.md docs/*.md) >"$work/corpus" ||
        { echo "bench: the texts could not be made" >&2; exit 1; }
}

put() { # model, contestant, round, prefix; "name value" lines on the input
    local name value
    while read -r name value; do printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4$name" "$value" >>"$raw"; done
}

measure() { # model, contestant, round, prefix, vectors' arguments...
    local model=$1 who=$2 round=$3 prefix=$4
    shift 4
    "$vectors" "$@" >"$work/out" 2>"$work/err" || note "$model, $who, $prefix round $round: $(tr '\n' ' ' <"$work/err" | head -c 300)"
    put "$model" "$who" "$round" "$prefix" <"$work/out"
}

metric() { # name, model: a counter of the proxy's
    { exec 3<>"/dev/tcp/127.0.0.1/$proxy_port"; } 2>/dev/null
    printf 'GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n' >&3
    awk -v name="$1{model=\"$2\"}" 'index($0, name) == 1 { print $2 + 0 }' <&3
    exec 3>&-
}

rss() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }
peak() { awk '/^VmHWM/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }

# --- memory ---

memory_part() {
    local model=all-minilm-q4 done=0 texts_dir=$work/texts/all-minilm-q4 each
    begin proxy "$proxy_port" /health "$proxy" serve --config "$work/config.toml"
    sleep 2
    echo "idle $(rss "$pid")" | put $model proxy 1 rss_
    texts $model $model
    measure $model proxy 1 first_ all --to "$proxy_port" --file "$texts_dir/query"
    echo "first $(rss "$pid")" | put $model proxy 1 rss_
    each=$(grep -c -a -E '^[0-9]+ [0-9]+ [0-9]+$' "$texts_dir/mixed")
    for share in 10 50 100; do
        local goal=$((requests * share / 100))
        say "memory: up to $goal requests"
        measure $model proxy 1 "until_${share}_" all --to "$proxy_port" --file "$texts_dir/mixed" --conns 16 --times $(((goal - done + each - 1) / each)) --pid "$pid"
        done=$goal
        { echo "after_$share $(rss "$pid")"; echo "peak_$share $(peak "$pid")"; } | put $model proxy 1 rss_
    done
    sleep 5
    echo "rested $(rss "$pid")" | put $model proxy 1 rss_
}

# --- the rounds ---

declare -A node_port
one_round() { # model, round
    local model=$1 round=$2 dir=$work/texts/$1 to=(--to "$proxy_port") tokens padding
    if measures throughput; then
        "$loop" loop --graph "$(graph "$model")" --ids "$dir/ids" --threads $threads --times $times | put "$model" loop "$round" ""
        tokens=$(metric proxy_inference_tokens "$model") padding=$(metric proxy_inference_padding "$model")
        measure "$model" proxy "$round" arrays_ all "${to[@]}" --file "$dir/arrays" --conns 8 --times $times --pid "$proxy_pid"
        measure "$model" proxy "$round" singles_ all "${to[@]}" --file "$dir/singles" --conns 32 --times $times --pid "$proxy_pid"
        tokens=$(($(metric proxy_inference_tokens "$model") - tokens)) padding=$(($(metric proxy_inference_padding "$model") - padding))
        awk -v t=$tokens -v p=$padding 'BEGIN { printf "padding_percent %.2f\n", 100 * p / (t + p) }' | put "$model" proxy "$round" ""
        measure "$model" node "$round" arrays_ all --to "${node_port[$model]}" --file "$dir/arrays" --conns 8
        measure "$model" node "$round" singles_ all --to "${node_port[$model]}" --file "$dir/singles" --conns 32
    fi
    if measures query; then
        "$loop" single --graph "$(graph "$model")" --ids "$dir/query.ids" --threads $threads | put "$model" loop "$round" query_
        measure "$model" proxy "$round" query_ ask "${to[@]}" --file "$dir/query" --secs $seconds
        measure "$model" node "$round" query_ ask --to "${node_port[$model]}" --file "$dir/query" --secs $seconds
    fi
    if measures rerank; then
        measure "$model" proxy "$round" rerank_ all "${to[@]}" --path /v1/rerank --mark '"relevance_score":' --file "$dir/rerank" --times $((times + 1))
    fi
    if measures busy; then
        measure "$model" proxy "$round" idle_ ask "${to[@]}" --file "$dir/query" --every 0.05 --secs $seconds
        measure "$model" proxy "$round" busy_ ask "${to[@]}" --file "$dir/query" --conns 64 --every 1 --bulk "$dir/bulk" --bulk-conns 2 --secs $busy_seconds
    fi
}

load_before=$(cut -d' ' -f1 /proc/loadavg)
if [ $memory = yes ]; then
    memory_part
else
    begin proxy "$proxy_port" /ready "$proxy" serve --config "$work/config.toml"
    proxy_pid=$pid
    for model in $models; do
        cross=$model
        [ "$model" != minilm-int8 ] || ! measures rerank || cross=cross-int8
        texts "$model" "$cross"
        "$vectors" all --to "$proxy_port" --file "$work/texts/$model/arrays" --conns 8 >/dev/null
        if measures throughput || measures query; then
            node_port[$model]=$("$vectors" port)
            mkdir -p "$work/models"
            ln -s "$(dirname "$(dirname "$(graph "$model")")")" "$work/models/$model"
            begin "node-$model" "${node_port[$model]}" / node "$tools/node-embed/server.mjs" "${node_port[$model]}" "$work/models/$model" $threads
            "$vectors" all --to "${node_port[$model]}" --file "$work/texts/$model/query" >/dev/null
        fi
    done
    for ((round = 1; round <= rounds; round++)); do
        for model in $models; do
            say "round $round of $rounds: $model"
            one_round "$model" "$round"
        done
    done
fi

# --- the tables ---

table() { # part
    awk -F'\t' -v models="$models" -v part="$1" -v requests="$requests" '
        function sorted(model, who, metric, of, other, how,    i, j, n, x, a) { # fills v[1..n], ascending; of, other: divided by that or less that, round by round
            n = 0
            for (i = 1; i <= last; i++) {
                if (!((model, who, i, metric) in value)) continue
                x = value[model, who, i, metric]
                if (how != "") {
                    if (!((model, of, i, other) in value)) continue
                    a = value[model, of, i, other]
                    x = how == "/" ? (a > 0 ? x / a : 0) : x - a
                }
                v[++n] = x
            }
            for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j - 1]; j--) { x = v[j]; v[j] = v[j - 1]; v[j - 1] = x }
            return n
        }
        function median(model, who, metric, form, of, other, how,    n) {
            n = sorted(model, who, metric, of, other, how)
            return n == 0 ? "–" : sprintf(form, n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2)
        }
        function range(model, who, metric, form, of, other, how,    n) {
            n = sorted(model, who, metric, of, other, how)
            return n == 0 ? "–" : sprintf(form " – " form, v[1], v[n])
        }
        function line(cells) { print "| " cells " |" }
        function rule(n) { while (n-- > 0) printf "|---"; print "|" }
        { value[$1, $2, $3, $4] = $5 + 0; if ($3 > last) last = $3 }
        END {
            count = split(models, names, " ")
            if (part == "throughput") {
                line("model | a call is | bare loop, tokens/s | proxy, tokens/s | × bare loop | least – most | Node, tokens/s | × Node | padding | cores: proxy, client")
                rule(10)
                for (i = 1; i <= count; i++) for (k = 1; k <= 2; k++) { m = names[i]; shape = k == 1 ? "arrays" : "singles"; t = shape "_tokens_per_s"
                    line(m " | " (k == 1 ? "16 texts, 8 clients" : "1 text, 32 clients") " | " median(m, "loop", "tokens_per_s", "%.0f") " | " median(m, "proxy", t, "%.0f") \
                        " | **" median(m, "proxy", t, "%.2f", "loop", "tokens_per_s", "/") "** | " range(m, "proxy", t, "%.2f", "loop", "tokens_per_s", "/") \
                        " | " median(m, "node", t, "%.0f") " | **" median(m, "proxy", t, "%.1f", "node", t, "/") "** | " median(m, "proxy", "padding_percent", "%.1f %%") \
                        " | " median(m, "proxy", shape "_server_cores", "%.2f") ", " median(m, "proxy", shape "_client_cores", "%.3f")) }
                line("*goal* | | | | ≥ 0.95 | | | ≥ 1.5 | ≤ 10 % | ")
            }
            if (part == "query") {
                line("model | bare `Run`, ms p50 | proxy over HTTP, ms p50 | above the bare `Run`, ms | least – most | Node over HTTP, ms p50")
                rule(6)
                for (i = 1; i <= count; i++) { m = names[i]
                    line(m " | " median(m, "loop", "query_p50_ms", "%.2f") " | " median(m, "proxy", "query_p50_ms", "%.2f") " | **" median(m, "proxy", "query_p50_ms", "%.2f", "loop", "query_p50_ms", "-") "** | " \
                        range(m, "proxy", "query_p50_ms", "%.2f", "loop", "query_p50_ms", "-") " | " median(m, "node", "query_p50_ms", "%.2f")) }
                line("*goal* | | | ≤ 1 | | ")
            }
            if (part == "rerank") {
                line("100 documents by | ms p50 | tokens/s")
                rule(3)
                for (i = 1; i <= count; i++) { m = names[i]
                    line((m == "minilm-int8" ? "a cross-encoder: minilm-int8 with a head" : m ", cosine") " | " median(m, "proxy", "rerank_p50_ms", "%.0f") " | " median(m, "proxy", "rerank_tokens_per_s", "%.0f")) }
            }
            if (part == "busy") {
                line("model | alone, ms p50 | 64 clients and the bulk, ms p50 | p99 | p99 ÷ p50 alone | least – most | bulk meanwhile, tokens/s")
                rule(7)
                for (i = 1; i <= count; i++) { m = names[i]
                    line(m " | " median(m, "proxy", "idle_p50_ms", "%.2f") " | " median(m, "proxy", "busy_p50_ms", "%.2f") " | " median(m, "proxy", "busy_p99_ms", "%.2f") \
                        " | **" median(m, "proxy", "busy_p99_ms", "%.1f", "proxy", "idle_p50_ms", "/") "** | " range(m, "proxy", "busy_p99_ms", "%.1f", "proxy", "idle_p50_ms", "/") " | " median(m, "proxy", "busy_bulk_tokens_per_s", "%.0f")) }
                line("*goal* | | | | ≤ 5 | | ")
            }
            if (part == "memory") {
                m = names[1]
                line("when | RSS MiB | highest so far")
                rule(3)
                line("started, nothing embedded | " median(m, "proxy", "rss_idle", "%.1f") " | ")
                line("one text embedded | " median(m, "proxy", "rss_first", "%.1f") " | ")
                for (k = 1; k <= 3; k++) { s = k == 1 ? 10 : k == 2 ? 50 : 100
                    line("while busy, after " sprintf("%d", requests * s / 100) " requests | " median(m, "proxy", "rss_after_" s, "%.1f") " | " median(m, "proxy", "rss_peak_" s, "%.1f")) }
                line("five seconds later | " median(m, "proxy", "rss_rested", "%.1f") " | ")
                line("*goal* | ≤ 140, flat | ≤ 140")
            }
        }' "$raw"
}

title() {
    case $1 in
        throughput) echo "Throughput over HTTP, mixed lengths" ;;
        query) echo "One short text" ;;
        rerank) echo "Reranking" ;;
        busy) echo "64 clients and a bulk job" ;;
        memory) echo "Memory, bundled model" ;;
    esac
}

section() { # part
    printf '## %s\n\n' "$(title "$1")"
    if [ $memory = yes ]; then
        printf '`%s` on %s.' "$asked" "$(date -u +%F)"
    else
        printf '`%s` on %s, %s; medians.' "$asked" "$(date -u +%F)" "$rounds round$([ "$rounds" = 1 ] || echo s)"
    fi
    printf ' Load of the machine when it began: %s. Commit %s%s.\n\n' "$load_before" "$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)" \
        "$(git -C "$root" diff --quiet HEAD -- src models 2>/dev/null || echo ", with changes")"
    table "$1"
    if [ -s "$notes" ]; then
        echo
        sed 's/^/- /' "$notes"
    fi
    echo
}

machine() {
    cat <<MARKDOWN
## The machine

- $(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores used, $(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo); Linux $(uname -r) $(uname -m); $(. /etc/os-release && echo "$PRETTY_NAME")
- proxy: $("$proxy" version 2>/dev/null | head -n 1); ONNX Runtime $(sed -n 's/.*"Microsoft.ML.OnnxRuntime" Version="\([^"]*\)".*/\1/p' "$root/Directory.Packages.props"); Node $(node --version), @huggingface/transformers $(sed -n 's/.*transformers": "\(.*\)".*/\1/p' "$bench/node-embed/package.json") with onnxruntime-node $(sed -n 's/.*"version": "\(.*\)".*/\1/p' "$tools/node-embed/node_modules/onnxruntime-node/package.json" 2>/dev/null | head -n 1 || echo "(not installed)")

\`bench/README.md\` explains each number.
MARKDOWN
}

results=$bench/INFERENCE.md
for part in throughput query rerank busy memory; do
    if measures $part; then section $part >"$work/section.$part"
    elif [ -e "$results" ]; then awk -v title="## $(title $part)" '/^## / { mine = $0 == title } mine' "$results" >"$work/section.$part"
    fi
done
for part in $parts; do cat "$work/section.$part"; done
if [ $write = yes ]; then
    {
        printf '# Inference: results\n\n'
        for part in throughput query rerank busy memory; do cat "$work/section.$part" 2>/dev/null || true; done
        machine
    } >"$work/INFERENCE.md"
    cp "$work/INFERENCE.md" "$results"
    say "written to bench/INFERENCE.md"
fi
