#!/usr/bin/env bash
# The path of a kube-apiserver that was built from its published Go module (go/go.mod pins it). For
# tests only. The build takes many minutes of a core, so tests use what there is, people say when it
# is to be made, and it lies in the user's cache folder, where every checkout finds it:
#
#   fetch.sh build        makes it, and prints its path
#   fetch.sh apiserver    prints its path
#
# Exit 0: the path on standard output. Exit 3: cannot be had here; the reason on standard error.
# Exit 1: it does not build.
set -euo pipefail

here="$(dirname "$(readlink -f "$0")")"
# Bazel may give a test a home of its own; the cache is in the user's.
home="$(getent passwd "$(id -u)" | cut -d: -f6)"
export HOME="${home:-${HOME:?}}"
cache="$HOME/.cache/meltemi/interop/kubernetes"
mkdir -p "$cache"
export PATH="$PATH:/usr/local/go/bin"

absent() {
  echo "$*" >&2
  exit 3
}

[[ ${1:-} == apiserver || ${1:-} == build ]] || exit 2

sum="$(cat "$here"/go/go.mod "$here"/go/go.sum "$here"/go/*.go | sha256sum | cut -c1-16)"
target="$cache/apiserver-$sum"
if [[ $1 == apiserver && ! -x $target ]]; then
  absent "kube-apiserver is not built here: test/interop/kubernetes/fetch.sh build"
fi
# Two people may build at the same time; nobody waits who asks whether it is there.
if [[ $1 == build ]]; then
  exec 9>"$cache/lock"
  flock 9
fi
if [[ ! -x $target ]]; then
  command -v go >/dev/null || absent "go is not installed: apt-get install golang-go"
  cd "$here/go"
  export GOFLAGS="-mod=readonly -buildvcs=false ${GOFLAGS:-}"
  timeout 600 go mod download >"$cache/apiserver.log" 2>&1 ||
    absent "go mod download failed: $(tail -n 1 "$cache/apiserver.log")"
  # What it compiles on the way is of no use afterwards, nor what a killed build has left.
  rm -rf "$cache"/build.*
  GOCACHE="$(mktemp -d "$cache/build.XXXXXX")"
  export GOCACHE
  trap 'rm -rf "$GOCACHE"' EXIT
  CGO_ENABLED=0 timeout 3600 nice go build -trimpath -ldflags "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.32.0 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=32" -o "$target.new" . >&2
  mv "$target.new" "$target"
fi
echo "$target"
