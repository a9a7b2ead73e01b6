#!/bin/bash
# Runs the jobs of one pipeline, one at a time:  shell-worker.sh PIPELINE COMMAND [ARGUMENT...]
# The command gets the job on its standard input. Each line that it prints becomes a token; if it fails, so does the answer.
# Needs bash and jq. It speaks NATS's protocol itself, without TLS. If the connection breaks it ends, and the job goes to another worker.
set -ufo pipefail
LC_ALL=C # so that lengths are in bytes
pipeline=$1 stream=${STREAM:-PROXY_JOBS} inbox=_INBOX.$$.$RANDOM$RANDOM heard='' subject='' reply='' data='' command=''
shift
trap '[[ -z $command ]] || kill -- "-$command" 2>&-' EXIT
trap 'exit 1' TERM INT
exec 3<>"/dev/tcp/${NATS_HOST:-127.0.0.1}/${NATS_PORT:-4222}"

pub() { printf 'PUB %s %s%d\r\n%s\r\n' "$1" "${3:+$3 }" ${#2} "$2" >&3; } # subject, content, where the answer goes

hear() { # waits $1 seconds for a message: sets subject, reply, data; false: there was none
  local line words
  subject='' reply='' data=''
  IFS= read -r -t "$1" -u 3 line || { (($? > 128)) || { echo 'the connection to NATS is gone' >&2; exit 1; }; heard+=$line; return 1; }
  line=$heard${line%$'\r'} heard='' words=($line)
  case ${words[0]} in
    PING) printf 'PONG\r\n' >&3 ;;
    -ERR) echo "$line" >&2 ;;
    MSG) subject=${words[1]}; ((${#words[@]} < 5)) || reply=${words[3]}; IFS= read -r -N "${words[-1]}" -u 3 data; read -r -u 3 ;;
  esac
  [[ $subject ]]
}

say() { ((++seq)); pub "$(jq -r .reply <<<"$job")" "$(jq -cn --arg text "${2-}" "$1 + {seq: $seq, attempt: $attempt}")"; }

fail() { say '{type: "finished", reason: "error", error: {message: $text}}' "$1"; }

run() { # the job is in $job, its acknowledgement goes to $ack
  local part='' rest='' seq=0 attempt control=$(jq -r .control <<<"$job") told=$SECONDS status words
  IFS=. read -r -a words <<<"$ack" # $JS.ACK.STREAM.CONSUMER.DELIVERED…, or with a domain and an account before the stream
  attempt=${words[4]}
  ((${#words[@]} < 11)) || attempt=${words[6]}
  (($(date -d "$(jq -r .deadline <<<"$job")" +%s) > $(date +%s))) || { pub "$ack" +TERM; return; }
  if jq -e .content <<<"$job" >/dev/null; then fail 'the job is too large for this worker'; pub "$ack" +ACK; return; fi
  printf 'SUB %s 2\r\n' "$control" >&3
  exec 4< <(exec setsid "$@" 3>&- <<<"$job"); command=$! # a group of its own, so that its children end with it
  while :; do
    IFS= read -r -t 0.05 -u 4 part; status=$?
    rest+=$part
    if ((status == 0)); then say '{type: "token", text: $text}' "$rest"$'\n'; rest=''; elif ((status <= 128)); then break; fi
    ! hear 0.001 || [[ $subject != "$control" || $data != '{"type":"cancel"'* ]] || { kill -- "-$command"; break; } # other messages there are between proxies
    ((SECONDS - told < 10)) || { pub "$ack" +WPI; told=$SECONDS; } # else another worker gets the job after 30 s
  done
  [[ -z $rest ]] || say '{type: "token", text: $text}' "$rest"
  # What the command stores itself is committed before it ends, so before `finished`.
  if wait "$command"; then say '{type: "finished", reason: "stop"}'; else fail "the command ended with $?"; fi
  command=''
  printf 'UNSUB 2\r\n' >&3
  pub "$ack" +ACK
}

printf 'CONNECT {"verbose":false,"headers":false,"user":"%s","pass":"%s"}\r\nSUB %s 1\r\n' "${NATS_USER-}" "${NATS_PASSWORD-}" "$inbox" >&3
while :; do
  pub "\$JS.API.CONSUMER.MSG.NEXT.$stream.$pipeline" '{"batch":1,"expires":30000000000}' "$inbox"
  end=$((SECONDS + 35))
  until hear 5 || ((SECONDS > end)); do :; done
  [[ $reply != '$JS.ACK.'* ]] || { job=$data ack=$reply; run "$@"; }
done
