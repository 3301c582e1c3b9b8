#!/usr/bin/env bash
# Brings the peers' published protocol files, pinned by version and checksum, into the ignored
# folder .cache/interop of the checkout, once, and prints where they are. Needs npm or go, and their
# registries.
#
#   fetch.sh xds | cri | istio | kube   exit 0: folders on standard output, one per line
#                                       exit 3: cannot be had here; the reason on standard error
set -euo pipefail
readonly XDS="@grpc/grpc-js-xds@1.14.1"
readonly XDS_SHA256=fd27db4119c139d5b59e8fe99d109bed04bff491302743ae3bf096667105c607
declare -rA GO_MODULES=(
  [cri]="k8s.io/cri-api@v0.32.0 github.com/gogo/protobuf@v1.3.2"
  [istio]="istio.io/api@v1.31.1"
  [kube]="k8s.io/api@v0.32.0 k8s.io/apimachinery@v0.32.0 k8s.io/apiextensions-apiserver@v0.32.0
    k8s.io/metrics@v0.32.0"
)
declare -rA GO_SUMS=(
  [github.com/gogo/protobuf@v1.3.2]="h1:Ov1cvc58UF3b5XjBnZv7+opcTcQFZebYjWzi34vdm4Q="
  [istio.io/api@v1.31.1]="h1:5Yb5ihcz4YQsCkciusK7DnFpBMwRB6EFWeUKH1Atuyk="
  [k8s.io/api@v0.32.0]="h1:OL9JpbvAU5ny9ga2fb24X8H6xQlVp+aJMFlgtQjR9CE="
  [k8s.io/apiextensions-apiserver@v0.32.0]="h1:S0Xlqt51qzzqjKPxfgX1xh4HBZE+p8KKBq+k2SWNOE0="
  [k8s.io/apimachinery@v0.32.0]="h1:cFSE7N3rmEEtv4ei5X6DaJPHHX0C+upp+v5lVPiEwpg="
  [k8s.io/cri-api@v0.32.0]="h1:pzXJfyG7Tm4acrEt5HPqAq3r4cN5guLeapAN/NM2b70="
  [k8s.io/metrics@v0.32.0]="h1:70qJ3ZS/9DrtH0UA0NVBI6gW2ip2GAn9e7NtoKERpns="
)

cache="$(dirname "$(readlink -f "$0")")/../../../.cache/interop"
mkdir -p "$cache"
cache="$(readlink -f "$cache")"
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
export PATH="$PATH:/usr/local/go/bin"

absent() {
  echo "$*" >&2
  exit 3
}

fetch_xds() {
  local target="$cache/grpc-js-xds-1.14.1" work
  if [[ ! -d $target ]]; then
    command -v npm >/dev/null || absent "npm is not installed: apt-get install npm"
    work="$(mktemp -d "$cache/npm.XXXXXX")"
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    (cd "$work" && timeout 120 npm pack --silent --fetch-retries=1 --fetch-timeout=30000 "$XDS") \
      >"$work/log" 2>&1 || absent "npm pack $XDS failed: $(tail -n 1 "$work/log")"
    echo "$XDS_SHA256  $(echo "$work"/*.tgz)" | sha256sum --check --quiet >&2 ||
      absent "$XDS has another checksum than the one that is pinned"
    tar -xzf "$work"/*.tgz -C "$work"
    mv "$work/package/deps" "$target" 2>/dev/null || [[ -d $target ]]
  fi
  printf '%s\n' "$target/envoy-api" "$target/xds" "$target/googleapis"
}

fetch_go() {
  local module answer sum
  command -v go >/dev/null || absent "go is not installed: apt-get install golang-go"
  for module in ${GO_MODULES[$1]}; do
    # Our own checksums are pinned here: the checksum database is not asked.
    answer="$(cd "$cache" && GOMODCACHE="$cache/go" GOFLAGS=-modcacherw GOSUMDB=off GO111MODULE=on \
      timeout 120 go mod download -json "$module" 2>&1)" ||
      absent "go mod download $module failed: $(echo "$answer" | tr '\n\t' '  ' | cut -c 1-200)"
    sum="$(echo "$answer" | sed -n 's/.*"Sum": "\([^"]*\)".*/\1/p')"
    [[ $sum == "${GO_SUMS[$module]}" ]] ||
      absent "$module has the checksum $sum, not the one that is pinned"
    echo "$answer" | sed -n 's/.*"Dir": "\([^"]*\)".*/\1/p'
  done
}

# Several tests may ask at once.
exec 9>"$cache/lock"
flock 9
case "${1:-}" in
  xds) fetch_xds ;;
  cri | istio | kube) fetch_go "$1" ;;
  *) absent "usage: fetch.sh xds|cri|istio|kube" ;;
esac
