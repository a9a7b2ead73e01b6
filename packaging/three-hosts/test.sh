#!/usr/bin/env bash
# Runs the three boxes of this folder on one machine, each in a network of its own, with real PostgreSQL and NATS and fake model hosts, and uses them:
# chat, documents, a workflow, resuming at another box, one box off, one back. Needs root, iproute2, curl, jq and python3; changes nothing outside its
# own networks and folder.
#   packaging/three-hosts/test.sh PROXY TREE [cut|kill]
# PROXY: the program (may be several words). TREE: a Debian with postgresql-17, postgresql-17-pgvector and nats-server, made by debootstrap.
# cut: the box that goes off is cut from the network, as if it had lost its power, which takes half a minute to see and to get over; kill: its proxy ends.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
read -ra proxy <<<"$1"
tree=$(realpath "$2") off=${3:-cut}
name=boxes$$ work=$(mktemp -d) children=()
export DATABASE_PASSWORD=d$RANDOM$RANDOM NATS_PASSWORD=n$RANDOM$RANDOM BOX_KEY=pxy-box-$RANDOM$RANDOM
laptop=pxy-laptop-$RANDOM$RANDOM
BOX_KEY_SHA256=$(printf %s "$BOX_KEY" | sha256sum | cut -c1-64) LAPTOP_KEY_SHA256=$(printf %s "$laptop" | sha256sum | cut -c1-64)
export BOX_KEY_SHA256 LAPTOP_KEY_SHA256
unset STATE_DIRECTORY PROXY_CONFIG PROXY_ADMIN_SOCKET DATABASE_URL NATS_URL LLM_BASE_URL http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

clean() {
  trap - EXIT
  for child in "${children[@]}"; do kill -KILL -- "-$child" 2>/dev/null || true; done
  for box in lan storage desktop compute; do ip netns del "$name-$box" 2>/dev/null || true; rm -rf "/etc/netns/$name-$box"; done
  rmdir /etc/netns 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap clean EXIT
fail() {
  echo "failed: $*" >&2
  tail -n 5 "$work"/*.log >&2
  exit 1
}
ok() { printf 'ok %s\n' "$*"; }

start() { # where its output goes, box, command...: in the background, in a process group of its own
  local log=$1 box=$2
  shift 2
  setsid ip netns exec "$name-$box" "$@" >>"$work/$log.log" 2>&1 &
  children+=($!)
  last=$!
  disown
}
wait_for() { # what, command...
  local what=$1 until=$((SECONDS + 30))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || fail "$what did not happen within 30 s"
    sleep 0.05
  done
}

networks() {
  local number=0 box
  ip netns add "$name-lan"
  ip -n "$name-lan" link add br0 type bridge
  ip -n "$name-lan" addr add 10.77.0.254/24 dev br0
  ip -n "$name-lan" link set br0 up
  for box in storage desktop compute; do
    number=$((number + 1))
    ip netns add "$name-$box"
    ip -n "$name-lan" link add "$box" type veth peer name eth0 netns "$name-$box"
    ip -n "$name-lan" link set "$box" master br0 up
    ip -n "$name-$box" addr add "10.77.0.$number/24" dev eth0
    ip -n "$name-$box" link set eth0 up
    ip -n "$name-$box" link set lo up
  done
  for box in lan storage desktop compute; do
    mkdir -p "/etc/netns/$name-$box"
    printf '127.0.0.1 localhost\n10.77.0.1 storage\n10.77.0.2 desktop\n10.77.0.3 compute\n' >"/etc/netns/$name-$box/hosts"
  done
}

as() { # user, command...: runs a program of the tree on storage, with this test's folder as /mnt. The process keeps its id.
  # shellcheck disable=SC2016
  exec ip netns exec "$name-storage" unshare --mount --propagation private sh -c '
    mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --bind "$1" "$0/mnt" || exit
    user=$2; shift 2
    exec chroot "$0" setpriv --reuid="$user" --regid="$user" --clear-groups -- "$@"' "$tree" "$work/servers" "$@"
}

postgres() { (as postgres "$programs/$1" "${@:2}"); } # a program of PostgreSQL and its arguments

servers() {
  programs=$(cd "$tree" && echo usr/lib/postgresql/*/bin)
  programs=/${programs##* }
  mkdir -p "$work/servers/nats"
  cp "$here/setup.sql" "$work/servers"
  sed "s|/var/lib/nats|/mnt/nats|; s|\$NATS_PASSWORD|\"$NATS_PASSWORD\"|" "$here/nats.conf" >"$work/servers/nats.conf"
  chroot "$tree" id -u postgres >/dev/null || fail "$tree has no PostgreSQL"
  chown "$(chroot "$tree" id -u postgres)" "$work/servers"
  chmod 755 "$work"
  postgres initdb -D /mnt/data -U postgres --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8 >"$work/initdb.log" 2>&1 || fail initdb
  echo 'host all all 10.77.0.0/24 scram-sha-256' >>"$work/servers/data/pg_hba.conf"
  set -m # so that each server has a process group of its own
  (as postgres "$programs/postgres" -D /mnt/data -c listen_addresses='*' -c unix_socket_directories=/mnt -c fsync=off) >"$work/postgres.log" 2>&1 &
  children+=($!)
  disown
  (as root /usr/sbin/nats-server -c /mnt/nats.conf) >"$work/nats.log" 2>&1 &
  children+=($!)
  disown
  set +m
  wait_for 'PostgreSQL' postgres pg_isready -h 127.0.0.1
  postgres psql -qh 127.0.0.1 -U postgres -v password="$DATABASE_PASSWORD" -f /mnt/setup.sql >"$work/setup.log" 2>&1 || fail setup.sql
}

run_box() { # box: its proxy
  mkdir -p "$work/$1"
  start "$1" "$1" env STATE_DIRECTORY="$work/$1" CACHE_DIRECTORY="$work/$1/cache" PROXY_ADMIN_SOCKET="$work/$1/admin.sock" \
    "${proxy[@]}" serve --config "$here/$1.toml"
  [[ $1 != desktop ]] || desktop=$last
}
admin() { # box, verb...: a command on that box
  local box=$1
  shift
  ip netns exec "$name-$box" env STATE_DIRECTORY="$work/$box" CACHE_DIRECTORY="$work/$box/cache" PROXY_ADMIN_SOCKET="$work/$box/admin.sock" "${proxy[@]}" "$@"
}

ask() { # box, path, arguments of curl...: as the laptop does
  ip netns exec "$name-lan" curl -sS --max-time 20 -H "authorization: Bearer $laptop" "http://$1:11435$2" "${@:3}"
}
chat() { # box, model, text, arguments of curl...
  ask "$1" /v1/chat/completions -H 'content-type: application/json' \
    -d "$(jq -cn --arg model "$2" --arg text "$3" '{model: $model, messages: [{role: "user", content: $text}]}')" "${@:4}"
}
text() { jq -r '.choices[0].message.content // .error.message'; }
expect() { # what, wanted, text
  [[ $3 == *"$2"* ]] || fail "$1: no '$2' in: ${3:0:600}"
}

# ---- the test ----

networks
servers
start desktop-host desktop python3 "$here/fake-host.py" 11434 qwen3:8b shared
start compute-host compute python3 "$here/fake-host.py" 8000 llama-3.3-70b shared
wait_for 'the host of desktop' ip netns exec "$name-desktop" curl -sf http://127.0.0.1:11434/v1/models
wait_for 'the host of compute' ip netns exec "$name-compute" curl -sf http://127.0.0.1:8000/v1/models
for box in desktop compute storage; do
  run_box "$box"
  wait_for "the proxy of $box" ask "$box" /ready -f
done
# A worker that asks before its queue is made would wait for 35 s.
wait_for 'the queue of jobs' grep -q nats_queue "$work/storage.log"
# shellcheck disable=SC2016
start worker compute env NATS_HOST=storage NATS_USER=proxy bash -c '
  while :; do bash "$1" research bash -c "jq -r \".messages[-1].content\" | sed \"s/^/researched: /\""; sleep 0.2; done' worker "$here/../workers/shell-worker.sh"
listed() { ask storage /v1/models | jq -e --arg model "$1" 'any(.data[]; .id == $model)'; }
for model in qwen3:8b llama-3.3-70b shared; do wait_for "$model is listed by storage" listed "$model"; done

for box in storage desktop compute; do
  told=$(admin "$box" doctor --config "$here/$box.toml") || fail "doctor of $box: $told"
  expect "doctor of $box" 'has JetStream' "$told"
  expect "doctor of $box" 'can be written' "$told"
done
ok 'doctor: nothing fails on the three boxes'

expect 'chat with desktop' 'qwen3:8b heard' "$(chat storage qwen3:8b hello | text)"
expect 'chat with compute' 'llama-3.3-70b heard' "$(chat storage llama-3.3-70b hello | text)"
expect 'a stranger' 'key' "$(ip netns exec "$name-lan" curl -sS http://storage:11435/v1/models)"
ok 'chat: storage passes calls on to desktop and compute'

mkdir "$work/docs"
echo 'The spare key of the workshop hangs behind the blue barrel.' >"$work/docs/keys.md"
echo 'Compost is turned in April.' >"$work/docs/garden.md"
admin storage ingest notes "$work/docs" --config "$here/storage.toml" >"$work/ingest.log" 2>&1 || fail 'ingest'
answer=$(chat storage qwen3:8b 'Where is the spare key of the workshop?' -H 'x-workspace: notes')
expect 'documents' 'behind the blue barrel' "$(text <<<"$answer")"
expect 'sources' keys.md "$(jq -c .x_proxy.sources <<<"$answer")"
ok 'rag: a passage from the workspace in PostgreSQL reaches the model on desktop'

# What follows needs no desktop; meanwhile storage finds out.
if [[ $off == cut ]]; then ip -n "$name-desktop" link set eth0 down; else kill -KILL -- "-$desktop"; fi
expect 'workflow' 'researched: what is new' "$(chat storage pipeline/research 'what is new' | text)"
ok 'workflow: a worker on compute answers a call at storage'

body='{"model":"llama-3.3-70b","stream":true,"messages":[{"role":"user","content":"count"}]}'
ask storage /v1/chat/completions -N -H 'x-resume: 1' -H 'content-type: application/json' -d "$body" 2>/dev/null | head -n 18 >"$work/begun" || true
id=$(sed -n 's/^id: \(.*\)$/\1/p' "$work/begun" | tail -1)
[[ $id ]] || fail "no id in the stream: $(<"$work/begun")"
ask compute "/v1/streams/${id%%/*}" -N -H "last-event-id: $id" >"$work/rest"
counted=$(grep -h '^data: {' "$work/begun" "$work/rest" | sed 's/^data: //' | jq -rj '.choices[0].delta.content // empty')
expect 'resumed' ": $(echo {1..40})" "$counted"
[[ $(grep -c '"content": " 7"\|"content":" 7"' <(cat "$work/begun" "$work/rest")) == 1 ]] || fail 'a word came twice'
ok 'resume: what began at storage goes on at compute, every word once'

unlisted() { ! listed qwen3:8b; }
wait_for 'storage sees that desktop is off' unlisted
expect 'desktop off' 'heard' "$(chat storage shared hello | text)"
status=$(chat storage qwen3:8b hello -o /dev/null -w '%{http_code}')
[[ $status == 404 || $status == 50? ]] || fail "a model that is off was answered $status"
told=$(admin storage doctor --config "$here/storage.toml") && fail 'doctor says that nothing fails while desktop is off'
expect 'doctor, desktop off' 'fail  host       desktop' "$told"
ok "one off: its models leave the list, a call for them is answered $status, a model of both boxes is served by the other"

if [[ $off == cut ]]; then ip -n "$name-desktop" link set eth0 up; else run_box desktop; fi
wait_for 'desktop is back' listed qwen3:8b
expect 'desktop back' 'qwen3:8b heard' "$(chat storage qwen3:8b hello | text)"
ok 'one back: its models are served again'

rows() { (as postgres "$programs/psql" -qAth 127.0.0.1 -U postgres -d llm -c 'select count(*) from proxy.exchanges'); }
recorded() { (($(rows) >= 10)); }
wait_for 'the records of all boxes are in PostgreSQL' recorded
ok "records: $(rows) in PostgreSQL"
