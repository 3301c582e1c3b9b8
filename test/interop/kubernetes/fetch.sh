#!/usr/bin/env bash
# The path of a kube-apiserver that was built from its published Go module (go/go.mod pins it), in
# the ignored folder .cache/interop of the checkout. For tests only. The build takes many minutes of
# a core, so tests use what there is, and people say when it is to be made:
#
#   fetch.sh build        makes it, and prints its path
#   fetch.sh apiserver    prints its path
#
# Exit 0: the path on standard output. Exit 3: cannot be had here; the reason on standard error.
# Exit 1: it does not build.
set -euo pipefail

here="$(dirname "$(readlink -f "$0")")"
cache="$here/../../../.cache/interop"
mkdir -p "$cache/kubernetes"
cache="$(readlink -f "$cache")"
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
export PATH="$PATH:/usr/local/go/bin"

absent() {
  echo "$*" >&2
  exit 3
}

[[ ${1:-} == apiserver || ${1:-} == build ]] || exit 2

# Two tests may ask at the same time.
exec 9>"$cache/kubernetes/lock"
flock 9

sum="$(cat "$here"/go/go.mod "$here"/go/go.sum "$here"/go/*.go | sha256sum | cut -c1-16)"
target="$cache/kubernetes/apiserver-$sum"
if [[ ! -x $target ]]; then
  [[ $1 == build ]] ||
    absent "kube-apiserver is not built here: test/interop/kubernetes/fetch.sh build"
  command -v go >/dev/null || absent "go is not installed: apt-get install golang-go"
  cd "$here/go"
  export GOMODCACHE="$cache/go" GOFLAGS="-modcacherw -mod=readonly -buildvcs=false"
  timeout 600 go mod download >"$cache/kubernetes/apiserver.log" 2>&1 ||
    absent "go mod download failed: $(tail -n 1 "$cache/kubernetes/apiserver.log")"
  # Some minutes of one core, and a gigabyte that is of no use afterwards.
  GOCACHE="$(mktemp -d "$cache/kubernetes/build.XXXXXX")"
  export GOCACHE
  trap 'rm -rf "$GOCACHE"' EXIT
  CGO_ENABLED=0 timeout 3000 nice go build -p 1 -trimpath -ldflags "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.32.0 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=32" -o "$target.new" . >&2
  mv "$target.new" "$target"
fi
echo "$target"
