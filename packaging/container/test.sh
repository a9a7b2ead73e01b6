#!/usr/bin/env bash
# Builds the image of this folder with podman and starts the services of compose.yaml, without a registry: the base image is a Debian that debootstrap
# made, and PostgreSQL and NATS are those of that Debian, under the names and with the entry points of the images that compose.yaml names.
#   packaging/container/test.sh DIST TREE
# DIST: the folder of proxy_*.deb. TREE: a Debian with postgresql-18, postgresql-18-pgvector and nats-server. Needs root, podman (buildah, runc,
# netavark, aardvark-dns), podman-compose, curl, jq and python3. Everything is kept in a folder of its own, which is removed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dist=$(realpath "$1") tree=$(realpath "$2")
work=$(mktemp -d) host=""
export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf DISABLE_HC_SYSTEMD=true BUILDAH_ISOLATION=chroot
# Limits that a container inside a container may set, and cgroups of either version.
cat >"$CONTAINERS_CONF" <<C
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
C
printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrunroot = "%s"\n' "${STORAGE_DRIVER:-overlay}" "$work/images" "$work/run" >"$CONTAINERS_STORAGE_CONF"
clean() {
  trap - EXIT
  [[ -z $host ]] || kill "$host" 2>/dev/null || true
  podman rm --all --force --time 1 >/dev/null 2>&1 || true
  podman network rm --force proxy_default >/dev/null 2>&1 || true
  podman system reset --force >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean EXIT
fail() {
  echo "failed: $*" >&2
  [[ ! -e $work/up.log ]] || tail -20 "$work/up.log" >&2
  for one in $(podman ps --all --format '{{.Names}}'); do echo "--- $one" >&2; podman logs --tail 8 "$one" >&2 2>&1 || true; done
  exit 1
}
ok() { printf 'ok %s\n' "$*"; }
wait_for() { # what, command...
  local what=$1 until=$((SECONDS + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || fail "$what did not happen within a minute"
    sleep 0.2
  done
}

# ---- images ----
tar -C "$tree" --exclude=./proc/* --exclude=./sys/* --exclude=./dev/* -c . 2>/dev/null | podman import --quiet - localhost/debian:test >/dev/null
cp /etc/ssl/certs/ca-certificates.crt "$work"
cat >"$work/wget" <<'C'
#!/bin/bash
# As much of wget as the health check of NATS needs.
IFS=/ read -r _ _ host path <<<"${!#}"
exec 3<>"/dev/tcp/${host%:*}/${host#*:}" && printf 'GET /%s HTTP/1.0\r\n\r\n' "$path" >&3 && read -r status <&3 && [[ $status == *" 200 "* ]]
C
cat >"$work/start-postgres" <<'C'
#!/bin/bash
# As much of the entry point of PostgreSQL's image as compose.yaml needs.
set -e
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH data=/var/lib/postgresql/data
if [[ $EUID == 0 ]]; then chown -R postgres: /var/lib/postgresql; exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0"; fi
if [[ ! -e $data ]]; then
  initdb -D "$data" -U "$POSTGRES_USER" --auth=scram-sha-256 --pwfile=<(echo "$POSTGRES_PASSWORD") --encoding=UTF8 --locale=C.UTF-8
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  pg_ctl -D "$data" -w -o "-c listen_addresses='' -k /tmp" start
  export PGPASSWORD=$POSTGRES_PASSWORD
  psql -h /tmp -U "$POSTGRES_USER" postgres -c "create database $POSTGRES_DB"
  for file in /docker-entrypoint-initdb.d/*.sql; do psql -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB" -f "$file"; done
  pg_ctl -D "$data" -w stop
fi
exec postgres -D "$data" -c listen_addresses='*' -k /tmp
C
chmod 755 "$work/wget" "$work/start-postgres"
build() { podman build --quiet --network host "$@" >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; fail "build $*"; }; }
build -t localhost/base:test -f - "$work" <<<$'FROM localhost/debian:test\nCOPY ca-certificates.crt /etc/ssl/certs/'
build -t docker.io/library/nats:2-alpine -f - "$work" <<<$'FROM localhost/debian:test\nCOPY wget /usr/bin/\nENTRYPOINT ["nats-server"]'
build -t docker.io/pgvector/pgvector:pg18 -f - "$work" \
  <<<$'FROM localhost/debian:test\nCOPY start-postgres /usr/bin/\nENV PATH=/usr/lib/postgresql/18/bin:/usr/bin:/bin:/usr/sbin:/sbin\nENTRYPOINT ["start-postgres"]'
build --format docker --build-arg BASE=localhost/base:test -t localhost/proxy:latest -f "$here/Dockerfile" "$dist"
ok "image: $(podman run --rm --network none localhost/proxy:latest version)"
expected='10001:10001 8080/tcp proxy healthcheck'
told=$(podman inspect localhost/proxy:latest \
  | jq -r '.[0] | "\(.Config.User) \(.Config.ExposedPorts | keys[0]) \(.HealthCheck.Test // .Healthcheck.Test | .[1:] | join(" "))"')
[[ $told == "$expected" ]] || fail "the image has '$told' and not '$expected'"
! podman run --rm --network none localhost/proxy:latest >"$work/refused" 2>&1 || fail 'it served everyone without a key'
grep -q PROXY_API_KEY "$work/refused" || fail "$(<"$work/refused")"
ok 'image: user 10001, port 8080, a health check; no start without a key'

# ---- the services ----
mkdir "$work/packaging" "$work/packaging/container"
cp "$here"/compose.yaml "$here"/vector.sql "$here/Dockerfile" "$work/packaging/container"
cd "$work/packaging/container"
podman run --rm --network none --user root -v "$PWD:/here" localhost/proxy:latest keys new me --env-file /here/.env >/dev/null
echo 'LLM_BASE_URL=http://host.docker.internal:18434' >>.env
podman network create proxy_default >/dev/null
gateway=$(podman network inspect proxy_default | jq -r '.[0].subnets[0].gateway')
if ! podman create --add-host here:host-gateway --network none --name probe localhost/proxy:latest >/dev/null 2>&1; then
  sed -i "s/host-gateway/$gateway/" compose.yaml
  ok "host-gateway: podman $(podman version --format '{{.Client.Version}}') does not know it; its meaning, $gateway, is written in its place"
fi
podman rm --force probe >/dev/null 2>&1 || true
podman-compose -p proxy -f compose.yaml up -d >"$work/up.log" 2>&1 || { cat "$work/up.log" >&2; fail 'podman-compose up'; }
# On this machine, at the address that host.docker.internal means.
ADDRESS=$gateway python3 "$here/../three-hosts/fake-host.py" 18434 small &
host=$!
for service in postgres nats proxy; do
  wait_for "$service is healthy" podman healthcheck run "proxy_${service}_1"
done
ok 'compose: postgres, nats and proxy are healthy'

key=$(sed -n 's/^PROXY_API_KEY=//p' .env)
call() { curl -sS --max-time 10 -H "authorization: Bearer $key" -H 'content-type: application/json' "http://127.0.0.1:8080$1" "${@:2}"; }
wait_for 'the host is found' sh -c "curl -sf -H 'authorization: Bearer $key' http://127.0.0.1:8080/v1/models | grep -q small"
answer=$(call /v1/chat/completions -d '{"model":"small","messages":[{"role":"user","content":"hello"}]}' | jq -r '.choices[0].message.content')
[[ $answer == *hello* ]] || fail "chat: $answer"
[[ $(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/v1/models) == 401 ]] || fail 'a call without the key was served'
ok 'chat: through the published port, with the key of .env, from a host of this machine'

podman exec proxy_proxy_1 proxy doctor >"$work/doctor" || fail "doctor: $(<"$work/doctor")"
grep -q 'records .*can be written' "$work/doctor" && grep -q 'has JetStream' "$work/doctor" && grep -q 'documents .*can be used' "$work/doctor" \
  || fail "doctor: $(<"$work/doctor")"
ok 'doctor: PostgreSQL with pgvector, NATS with JetStream'

podman stop --time 45 proxy_proxy_1 >/dev/null
[[ $(podman inspect proxy_proxy_1 | jq '.[0].State.ExitCode') == 0 ]] || fail 'the proxy did not stop well'
ok 'stop: exit code 0'
