#!/usr/bin/env bash
# Builds, runs, tests and packages the proxy. `./build.sh --help` lists the verbs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_CLI_USE_MSBUILD_SERVER=0
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 # a fresh SDK on a small machine has no ICU
readonly oldest_glibc=2.31                     # Debian 11, RHEL 9, Ubuntu 20.04
readonly glibc_libraries='^(libc\.so\.6|libm\.so\.6|libdl\.so\.2|libpthread\.so\.0|librt\.so\.1|ld-linux-(x86-64\.so\.2|aarch64\.so\.1))$'
readonly most_again=5    # failed tests that are run once more; more of them are no accident
readonly test_minutes=60 # setup and publish included; two idle cores need less than half of it

usage() {
  cat <<'TEXT'
./build.sh                           publish dist/proxy, one native file
./build.sh run [-- ARGUMENTS]        publish if something changed, then start it with config.example.toml
./build.sh test [--quick] [FILTER]   publish, then run every test against dist/proxy;
                                     --quick: the inner loop, without publishing and without the slow tests;
                                     FILTER: only tests whose full name contains it
                                     PROXY_PROPERTY_SECONDS=60: every property test runs for so long
                                     PROXY_CRASH_KILLS=50: kills of each process in the crash matrix (5)
                                     PROXY_SOAK_MINUTES=30: how long every kind of call runs with faults at random (5 s)
                                     PROXY_OUTAGE_SECONDS=60: how long PostgreSQL or NATS is down under load (5)
./build.sh bench [ARGUMENTS]         the speed table (bench/run.sh)
./build.sh bench inference [ARGUMENTS]
                                     the same table for embedding and reranking (bench/inference.sh)
./build.sh bench pairs OLD NEW [PAIRS]
                                     compares what two binaries cost (bench/pairs.sh)
./build.sh count                     the program's statements by folder, and methods that are too long
./build.sh package [arm64]           dist/proxy_VERSION_ARCHITECTURE.deb
./build.sh tarball [arm64]           dist/proxy_VERSION_ARCHITECTURE.tar.gz, the same files for systems without dpkg
./build.sh release [arm64]           both, dist/proxy_VERSION_ARCHITECTURE.cdx.json (what the program is made of) and dist/SHA256SUMS;
                                     arm64: cross-linked, from any machine
./build.sh setup [build|test|bench]  install what those verbs need (for all of them if none is named); every verb
                                     calls this itself, and it is quick when nothing is missing
TEXT
}

# ---- output --------------------------------------------------------------------------------------------------------

step() { printf '==> %d:%02d  %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"; }
die() {
  printf '\n==> failed: %s\n' "$*" >&2
  exit 1
}

# Runs a command with its output in a log file; if it fails, shows the lines with errors.
logged() { # log, command...
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" >"$log" 2>&1; then
    grep -E '(error|warning) [A-Za-z]+[0-9]+|error:|^E: ' "$log" | sort -u | head -40 >&2 || tail -40 "$log" >&2
    die "$1 $2; the whole output is in $log"
  fi
}

# ---- setup ---------------------------------------------------------------------------------------------------------

# Each entry is a Debian package and the command or file that shows that it is installed.
build_needs="clang:clang cmake:cmake make:make binutils:readelf ca-certificates:/etc/ssl/certs/ca-certificates.crt
  debian-archive-keyring:/usr/share/keyrings/debian-archive-keyring.gpg"
package_needs="jq:jq"
arm64_needs="lld:ld.lld llvm:llvm-objcopy qemu-user-static:qemu-aarch64-static" # only on another processor
test_needs="debootstrap:debootstrap systemd-container:systemd-nspawn openssl:openssl curl:curl
  nodejs:node npm:npm python3:python3 python3-venv:/usr/share/doc/python3-venv chromium:chromium
  nginx:nginx haproxy:haproxy caddy:caddy iproute2:ip jq:jq prometheus:prometheus"
bench_needs="nginx:nginx haproxy:haproxy gcc:gcc libc6-dev:/usr/include/stdio.h
  nodejs:node npm:npm"

setup() { # groups
  local group needs="" pair missing=()
  for group in "$@"; do
    case $group in
      build) needs+=" $build_needs" ;;
      test) needs+=" $test_needs" ;;
      package) needs+=" $package_needs" ;;
      arm64) needs+=" $arm64_needs" ;;
      bench) needs+=" $bench_needs" ;;
      *) die "setup knows build, package, arm64, test and bench, not '$group'" ;;
    esac
  done
  for pair in $needs; do
    [[ ${pair#*:} == /* ]] && [[ -e ${pair#*:} ]] && continue
    command -v "${pair#*:}" >/dev/null || missing+=("${pair%%:*}")
  done
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
  setup_dotnet
}

install_packages() {
  command -v apt-get >/dev/null || die "these packages are missing (by their Debian names): $*"
  ((EUID == 0)) || die "some packages are missing; run
      sudo apt-get install -y --no-install-recommends $*
    and then this command again"
  step "installing $*"
  local log=.build/apt.log options=(-y --no-install-recommends -o DPkg::Lock::Timeout=300)
  export DEBIAN_FRONTEND=noninteractive
  mkdir -p .build
  keep_services_off # tests and benchmarks start servers themselves, so their packages must not
  apt-get install "${options[@]}" "$@" >"$log" 2>&1 \
    || { apt-get update && apt-get install "${options[@]}" "$@"; } >"$log" 2>&1 \
    || { tail -20 "$log" >&2; die "apt-get could not install $*"; }
  allow_services
}

keep_services_off() {
  [[ ! -e /usr/sbin/policy-rc.d ]] || return 0
  trap allow_services EXIT
  printf '#!/bin/sh\nexit 101 # build.sh\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
}

allow_services() {
  ! grep -qs 'build.sh' /usr/sbin/policy-rc.d || rm /usr/sbin/policy-rc.d
}

setup_dotnet() {
  local wanted own="$HOME/.dotnet"
  wanted=$(sed -n 's/.*"version": *"\([0-9.]*\)".*/\1/p' global.json)
  has_sdk dotnet "$wanted" && return
  export PATH="$own:$PATH" DOTNET_ROOT="$own"
  has_sdk "$own/dotnet" "$wanted" && return

  step "this machine has no .NET SDK $wanted; fetching it into $own (Microsoft's install script)"
  command -v curl >/dev/null || install_packages curl
  mkdir -p .build
  curl -fsSL --retry 3 https://dot.net/v1/dotnet-install.sh -o .build/dotnet-install.sh \
    || die "https://dot.net/v1/dotnet-install.sh cannot be reached; install the .NET SDK $wanted by hand"
  logged .build/dotnet-install.log bash .build/dotnet-install.sh --version "$wanted" --install-dir "$own" --no-path
  has_sdk "$own/dotnet" "$wanted" || die "the SDK was downloaded into $own but does not start there; see .build/dotnet-install.log"
}

# An SDK is good enough if it is of the same release and not older, as global.json's rollForward allows.
has_sdk() { # dotnet, version
  command -v "$1" >/dev/null || return 1
  "$1" --list-sdks 2>/dev/null | awk -v wanted="$2" '
    { split($1, have, "."); split(wanted, want, ".")
      if (have[1] == want[1] && have[2] == want[2] && have[3] + 0 >= want[3] + 0) found = 1 }
    END { exit !found }'
}

# ---- publish -------------------------------------------------------------------------------------------------------

# Prints one line that changes whenever a file changes that goes into dist/proxy.
sources() {
  find . \( -path ./src/Proxy.Tests -o -name obj -o -name bin -o -name '.?*' \) -prune -o -type f \
    \( -path './src/*' -o -path './models/*' -o -path ./packaging/copyright -o -name 'Directory.*.props' -o -name '*sysroot*' -o -name global.json \) \
    -print0 | sort -z | xargs -0 sha256sum | sha256sum
}

# The binary of a processor: dist/proxy for this machine's, dist/arm64/proxy if it is another.
binary_for() { if [[ $(rid "$1") == $(rid "") ]]; then echo dist/proxy; else echo "dist/$1/proxy"; fi; }

rid() { # architecture, empty for this machine's
  case ${1:-$(uname -m)} in
    x86_64 | amd64) echo linux-x64 ;;
    aarch64 | arm64) echo linux-arm64 ;;
    *) die "there is no runtime for ${1:-$(uname -m)}" ;;
  esac
}

publish() { # architecture, empty for this machine's
  local now target=${1:-} binary suffix=""
  binary=$(binary_for "$target")
  [[ $binary == dist/proxy ]] || suffix=-$target
  now=$(sources)
  setup_sysroot "$suffix"
  if [[ -x $binary && -f .build/published$suffix && $(<.build/published$suffix) == "$now" ]]; then
    step "$binary is up to date"
    return
  fi
  step "publishing $binary (native: one to two minutes)"
  rm -rf ".build/publish$suffix" ".build/published$suffix"
  [[ -z $suffix ]] || export PROXY_TARGET=aarch64-linux-gnu
  CMAKE_PREFIX_PATH="$PROXY_SYSROOT/usr" PROXY_ROOT=$PWD logged ".build/publish$suffix.log" \
    dotnet publish src/Proxy -c Release -r "$(rid "$target")" -o ".build/publish$suffix" -v minimal --nologo
  unset PROXY_TARGET
  ! grep -E 'warning IL[0-9]+' ".build/publish$suffix.log" >&2 || die "the ahead-of-time compiler printed warnings"
  check_binary ".build/publish$suffix/proxy"
  mkdir -p "$(dirname "$binary")"
  mv ".build/publish$suffix/proxy" "$binary" # its debug symbols stay in .build/publish
  cp src/Proxy/obj/project.assets.json ".build/assets$suffix.json"
  echo "$now" >".build/published$suffix"
  step "$binary: $(stat -c %s "$binary" | awk '{ printf "%.1f MB", $1 / 1e6 }'), needs glibc $(glibc_floor "$binary") or newer and nothing else"
}

setup_sysroot() { # empty, or "-arm64" on another processor
  local recipe
  recipe=$(sha256sum <packaging/sysroot.sh)
  export PROXY_SYSROOT="$PWD/.build/sysroot$1-${recipe:0:12}"
  [[ -d $PROXY_SYSROOT ]] && return
  step "fetching the Debian 11 headers and libraries to link against"
  mkdir -p .build
  if [[ $1 ]]; then
    rm -rf .build/sysroot-arm64-*
    # apt, which fetches them, takes the processor's packages; it must not look at those that are installed here.
    printf 'APT::Architecture "arm64";\nAPT::Architectures { "arm64"; };\nDir::State::status "/dev/null";\n' >.build/apt-arm64.conf
    APT_CONFIG=$PWD/.build/apt-arm64.conf logged .build/sysroot-arm64.log packaging/sysroot.sh "$PROXY_SYSROOT"
  else
    rm -rf .build/sysroot-[0-9a-f][0-9a-f][0-9a-f]*
    logged .build/sysroot.log packaging/sysroot.sh "$PROXY_SYSROOT"
  fi
}

# dist/proxy is one file that runs anywhere: it may need only glibc's libraries, and no glibc newer than Debian 11's.
check_binary() {
  local strangers beside
  strangers=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -Ev "$glibc_libraries" | xargs) || true
  [[ -z $strangers ]] || die "the binary needs libraries that a minimal system lacks: $strangers"
  beside=$(find "$(dirname "$1")" -type f \( -name '*.so' -o -name '*.json' \) -printf '%f ')
  [[ -z $beside ]] || die "the publish is not one file, it also wrote: $beside"
  [[ $(printf '%s\n' "$(glibc_floor "$1")" "$oldest_glibc" | sort -V | tail -1) == "$oldest_glibc" ]] \
    || die "the binary needs glibc $(glibc_floor "$1"); it must run with $oldest_glibc"
}

glibc_floor() { readelf -VW "$1" | grep -o 'GLIBC_2\.[0-9.]*' | cut -c7- | sort -Vu | tail -1; }

# ---- the other verbs -----------------------------------------------------------------------------------------------

run() {
  [[ ${1:-} != -- ]] || shift
  setup build
  publish
  step "starting dist/proxy with config.example.toml (Ctrl-C stops it)"
  exec dist/proxy serve --config config.example.toml "$@"
}

run_tests() {
  local quick="" filter=()
  if [[ ${1:-} == --quick ]]; then
    quick=1
    shift
    filter=(-trait- Category=System -trait- Category=Sdk -trait- Category=Slow)
  fi
  [[ -z ${1:-} ]] || filter+=(-method "*$1*")

  if [[ $quick ]]; then
    setup_dotnet
  else
    setup build package test
    publish
    package
    tarball
    checksums
    export PROXY_BINARY="$PWD/dist/proxy" PROXY_PACKAGE PROXY_TARBALL
  fi
  step "building the tests"
  logged .build/test-build.log dotnet build src/Proxy.Tests -v minimal --nologo

  run_suite .build/tests.xml "${filter[@]}"
  # A client must see the same on both transports.
  [[ $quick ]] || PROXY_TEST_TRANSPORT=sockets run_suite .build/tests-sockets.xml "${filter[@]}" \
    -namespace Proxy.Tests.EndToEnd -trait- Category=System -trait- Category=Sdk
  if [[ $quick ]]; then report .build/tests.xml; else report .build/tests.xml .build/tests-sockets.xml; fi
}

run_suite() { # where xunit's XML goes, filters
  step "testing ${PROXY_BINARY:-the program as built for debugging}${PROXY_TEST_TRANSPORT:+ on its $PROXY_TEST_TRANSPORT transport}"
  rm -f "$1"
  # When interrupted, the tests print which of them are running, and the runner ends the processes that they started.
  timeout --foreground --signal=INT --kill-after=60 $((test_minutes * 60 - SECONDS)) \
    dotnet src/Proxy.Tests/bin/Debug/net10.0/Proxy.Tests.dll -noLogo -noColor -longRunning 60 -xml "$1" "${@:2}" || case $? in
    124 | 137) die "stopped after $test_minutes minutes; the tests that were still running are listed above" ;;
    *) [[ -s $1 ]] || die "the test run ended without results" ;;
  esac
  try_again "$1"
}

# Runs the few tests that failed once more, by themselves: on a machine that other work slows down, some of ten thousand tests come too late. The report names
# those that pass only then, and a test that fails again has failed.
try_again() { # xunit's XML of the run; that of the second try stands beside it
  local failed=() again=$1.again
  rm -f "$again"
  mapfile -t failed < <(failed_in "$1" | sed -nE 's/.* type="([^"]*)" method="([^"]*)".*/\1.\2/p' | sort -u)
  ((${#failed[@]} > 0 && ${#failed[@]} <= most_again)) || return 0
  step "running again what failed, by itself: ${failed[*]}"
  # shellcheck disable=SC2046
  timeout --foreground --signal=INT --kill-after=60 600 dotnet src/Proxy.Tests/bin/Debug/net10.0/Proxy.Tests.dll -noLogo -noColor -longRunning 60 \
    -xml "$again" $(printf -- '-method %s ' "${failed[@]}") || true
}

names_in() { failed_in "$@" | grep -oP ' name="\K[^"]*' | sort | uniq -c || true; } # xunit's XML

failed_in() { grep -ohsP '<test [^>]*result="Fail"[^>]*>' "$@" || true; } # xunit's XML

# Prints the totals as the last line and sets the exit code.
report() { # xunit's XML, of each run
  local passed=0 failed=0 skipped=0 late=0 results=() result
  count() { grep -o '<assembly [^>]*>' "$1" | grep -o " $2=\"[0-9]*\"" | head -1 | tr -dc 0-9; }
  for result; do
    [[ -f $result ]] || continue
    passed=$((passed + $(count "$result" passed)))
    failed=$((failed + $(count "$result" errors)))
    skipped=$((skipped + $(count "$result" skipped)))
    if [[ -s $result.again ]]; then
      late=$((late + $(count "$result" failed) - $(count "$result.again" failed)))
      failed=$((failed + $(count "$result.again" failed) + $(count "$result.again" errors)))
      results+=("$result.again")
    else
      failed=$((failed + $(count "$result" failed)))
      results+=("$result")
    fi
  done
  passed=$((passed + late))
  ((skipped == 0)) || not_run_here "$@"
  ((late == 0)) || { step "passed only when they were run again, by themselves:"; names_in "$@" | grep -vxFf <(names_in "${@/%/.again}") || true; }
  ((failed == 0)) || failed_here "${results[@]}"
  step "tested"
  echo "$passed passed, $failed failed, $skipped skipped"
  ((failed == 0)) || exit 1
  ((passed > 0)) || die "no test ran"
  [[ ${CI:-} == true ]] && ((skipped > 0)) || return 0
  [[ ! -d ../shared ]] || die "in CI every test must run; the missing tools are listed above"
  echo "CI is set, but there is no ../shared beside the repository: skipped tests do not count as failures here"
}

# Prints why tests were skipped and what to install: one line per reason, with the number of tests.
not_run_here() { # xunit's XML, of each run
  step "not run on this machine:"
  grep -ohsP '<reason>(<!\[CDATA\[)?\K.*?(?=(\]\]>)?</reason>)' "$@" | sort | uniq -c | sort -rn || true
}

# Names the failed tests once more, for they stand far above by now.
failed_here() { # xunit's XML, of each run
  step "failed:"
  names_in "$@"
}

bench() {
  if [[ ${1:-} == pairs ]]; then
    setup bench
    exec bench/pairs.sh "${@:2}"
  fi
  setup build bench
  publish
  local script=bench/run.sh
  if [[ ${1:-} == inference ]]; then
    script=bench/inference.sh
    shift
  fi
  exec "$script" "$@"
}

count_statements() {
  setup_dotnet
  logged .build/count.log dotnet build .ci/count -c Release -v minimal --nologo
  exec dotnet .ci/count/bin/Release/net10.0/count.dll
}

# The time that archives give their files: the last commit's, so that two builds of it are equal.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}

version() { sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' Directory.Build.props; }

sbom() { # architecture: prints the path
  local binary suffix="" path
  binary=$(binary_for "$1")
  [[ $binary == dist/proxy ]] || suffix=-$1
  path=dist/proxy_$(version)_$(if [[ $(rid "$1") == linux-arm64 ]]; then echo arm64; else echo amd64; fi).cdx.json
  packaging/sbom.sh "$binary" ".build/assets$suffix.json" "$PROXY_SYSROOT" >"$path"
  echo "$path"
}

package() { # architecture
  step "packing the Debian package"
  PROXY_PACKAGE=$(packaging/deb/build.sh "$(binary_for "${1:-}")" dist "$(sbom "${1:-}")")
  step "$PROXY_PACKAGE"
}

tarball() { # architecture
  step "packing the tarball"
  PROXY_TARBALL=$(packaging/tarball.sh "$(binary_for "${1:-}")" dist "$(sbom "${1:-}")")
  step "$PROXY_TARBALL"
}

checksums() {
  (cd dist && LC_ALL=C && sha256sum proxy_*.deb proxy_*.tar.gz proxy_*.cdx.json >SHA256SUMS)
  step "dist/SHA256SUMS"
}

pack() { # verb, architecture
  local target=${2:-}
  [[ -z $target || $target == arm64 ]] || die "$1 knows arm64 only, besides this machine's processor"
  setup build package
  [[ $(binary_for "$target") == dist/proxy ]] || setup arm64
  publish "$target"
  case $1 in
    package) package "$target" ;;
    tarball) tarball "$target" ;;
    release)
      package "$target"
      tarball "$target"
      checksums
      ;;
  esac
}

case ${1:-} in
  "")
    setup build
    publish
    ;;
  run | bench) "$@" ;;
  count) count_statements ;;
  package | tarball | release) pack "$@" ;;
  test) run_tests "${@:2}" ;;
  setup)
    shift
    (($# > 0)) || set -- build package test bench
    setup "$@"
    step "everything is there"
    ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    die "there is no verb '$1'"
    ;;
esac
