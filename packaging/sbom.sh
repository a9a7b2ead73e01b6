#!/usr/bin/env bash
# Prints what a published binary is made of, as a CycloneDX document: the packages of the restore that gave it code, and its native parts.
#   packaging/sbom.sh BINARY ASSETS SYSROOT
# ASSETS: the project.assets.json of the publish. SYSROOT: the folder that it was linked against. Needs jq.
set -euo pipefail
binary=$1 assets=$2 sysroot=$3
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' Directory.Build.props)
sha256=$(sha256sum "$binary" | cut -c1-64)
openssl=$(zcat "$sysroot/usr/share/doc/libssl-dev/changelog.Debian.gz" | sed -n '1s/^openssl (\([^)]*\)).*/\1/p')
cxx=$(basename "$(realpath "$sysroot"/usr/lib/*-linux-gnu/libstdc++.so.6)")
gcc=$(basename "$(ls -d "$sysroot"/usr/lib/gcc/*/*)")

jq --sort-keys --arg version "$version" --arg sha256 "$sha256" --arg openssl "$openssl" --arg cxx "${cxx#libstdc++.so.}" --arg gcc "$gcc" \
  --arg time "$(date -u -d "@${SOURCE_DATE_EPOCH:?is set by build.sh}" +%Y-%m-%dT%H:%M:%SZ)" '
  def nuget: {type: "library", name: .name, version: .version, purl: "pkg:nuget/\(.name)@\(.version)"};
  def parts: split("/") | {name: .[0], version: .[1]};
  . as $assets
  | [.targets | to_entries[] | select(.key | contains("/")) | .value | to_entries[]
      | select(.value.type == "package" and ([.value.runtime // {}, .value.native // {}] | add | keys | any(test("_\\._$") | not)))
      | .key | parts] as $managed
  | [.libraries | keys[] | select(test("^(Microsoft\\.ML\\.OnnxRuntime|SQLitePCLRaw\\.lib\\.e_sqlite3)/")) | parts] as $carried
  | [.project.frameworks[].downloadDependencies[]? | {name, version: (.version | ltrimstr("[") | split(",")[0])}] as $runtime
  | {
      bomFormat: "CycloneDX", specVersion: "1.6", version: 1,
      serialNumber: ("urn:uuid:" + ($sha256 | "\(.[0:8])-\(.[8:12])-5\(.[13:16])-8\(.[17:20])-\(.[20:32])")),
      metadata: {
        timestamp: $time,
        component: {type: "application", "bom-ref": "proxy", name: "proxy", version: $version, hashes: [{alg: "SHA-256", content: $sha256}]}
      },
      components: ([($managed + $carried + $runtime | unique_by(.name)[] | nuget),
        {type: "library", name: "openssl", version: $openssl, purl: "pkg:deb/debian/openssl@\($openssl)", description: "linked statically"},
        {type: "library", name: "libstdc++", version: $cxx, description: "GCC \($gcc) of Debian 11, carried for ONNX Runtime"},
        {type: "library", name: "libgcc_s", version: $gcc, description: "GCC \($gcc) of Debian 11, carried for ONNX Runtime"},
        {type: "machine-learning-model", name: "all-MiniLM-L6-v2", version: "q4", description: "models/all-minilm"}]
        | sort_by(.name) | map(. + {"bom-ref": "\(.name)@\(.version)"}))
    }
  | .dependencies = [{ref: "proxy", dependsOn: [.components[]["bom-ref"]]}]' "$assets"
