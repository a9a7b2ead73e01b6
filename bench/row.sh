# Functions that run.sh and pairs.sh share: they build the tools and configure a proxy in front of the mock host. This file is sourced; it needs $bench, $root
# and $work.

key=sk-bench-2f6d1c0a9b8e7d65
tools=$root/.build/bench

build_tools() {
    mkdir -p "$tools"
    local program
    for program in mock load; do
        [ "$tools/$program" -nt "$bench/$program.c" ] || gcc -O2 -Wall -Wextra -o "$tools/$program" "$bench/$program.c"
    done
}

start_mock() { # sets mock, its port, and mock_pid
    "$tools/mock" >"$work/mock.port" &
    mock_pid=$!
    until [ -s "$work/mock.port" ]; do sleep 0.05; done
    mock=$(cat "$work/mock.port")
}

start_nats() { # sets nats, its port, and nats_pid; with JetStream, which keeps what it gets
    nats=$("$tools/load" port)
    nats-server -a 127.0.0.1 -p "$nats" -js -sd "$work/nats" >"$work/nats.log" 2>&1 &
    nats_pid=$!
    until (: 3<>"/dev/tcp/127.0.0.1/$nats") 2>/dev/null; do sleep 0.05; done
}

proxy_config() { # arguments: family, an extra line of [server], extra sections; listens on $port
    local url=http://127.0.0.1:$mock
    cat <<TOML
[server]
listen = ["127.0.0.1:$port"]
$2

[[backends]]
name = "mock"
url = "$url"
dialects = ["$1"]
models = ["mock"]

[aliases]
a-longer-name = "mock"

[[auth.keys]]
name = "bench"
sha256 = "$(printf %s $key | sha256sum | cut -d' ' -f1)"

${3:-}
TOML
}

answers() ( # argument: path; true if the server on $port answers 200. A subshell, because writing to a reset connection terminates the shell
    { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
    printf 'GET %s HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer %s\r\nconnection: close\r\n\r\n' "$1" "$key" >&3
    read -r -t 5 status <&3 || status=
    [[ $status == *" 200"* ]]
)
