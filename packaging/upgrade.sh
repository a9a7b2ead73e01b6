#!/usr/bin/env bash
# Shows that this version and the previous one work together for the time of an upgrade: on one NATS, one PostgreSQL and one SQLite file.
#
#   packaging/upgrade.sh [COMMIT]
#
# Builds the previous version (the commit in packaging/previous, or COMMIT) in .build/previous, which takes as long as a publish the first time; publishes this
# one; and runs UpgradeTests with both binaries, in both directions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

commit=${1:-$(grep -v '^#' packaging/previous)}
tree=$PWD/.build/previous/$commit
if [ ! -x "$tree/dist/proxy" ]; then
    git cat-file -e "$commit^{commit}" 2>/dev/null || git fetch --depth 1 origin "$commit" # a shallow clone does not have it
    mkdir -p "$tree"
    git archive "$commit" | tar -x -C "$tree"
    (cd "$tree" && ./build.sh)
fi

./build.sh
dotnet build src/Proxy.Tests -v q --nologo
PROXY_PREVIOUS=$tree/dist/proxy PROXY_BINARY=$PWD/dist/proxy \
    exec dotnet src/Proxy.Tests/bin/Debug/net10.0/Proxy.Tests.dll -noLogo -noColor -class Proxy.Tests.EndToEnd.UpgradeTests
