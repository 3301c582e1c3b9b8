#!/usr/bin/env bash
# Builds the Go program of this folder, with kube-scheduler's own plugins (go/go.mod pins them),
# into the ignored folder .cache/interop of the checkout, once, and prints its path. For tests only.
#
#   fetch.sh plugins
#
# Exit 0: the path on standard output. Exit 3: cannot be had here; the reason on standard error.
# Exit 1: our own program is broken.
set -euo pipefail

here="$(dirname "$(readlink -f "$0")")"
cache="$here/../../../.cache/interop"
mkdir -p "$cache/scheduler"
cache="$(readlink -f "$cache")"
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
export PATH="$PATH:/usr/local/go/bin"

absent() {
  echo "$*" >&2
  exit 3
}

[[ ${1:-} == plugins ]] || exit 2

# Two tests may ask at the same time.
exec 9>"$cache/scheduler/lock"
flock 9

sum="$(cat "$here"/go/go.mod "$here"/go/go.sum "$here"/go/*.go | sha256sum | cut -c1-16)"
target="$cache/scheduler/plugins-$sum"
if [[ ! -x $target ]]; then
  command -v go >/dev/null || absent "go is not installed: apt-get install golang-go"
  cd "$here/go"
  export GOMODCACHE="$cache/go" GOFLAGS="-modcacherw -mod=readonly -buildvcs=false"
  timeout 300 go mod download >"$cache/scheduler/plugins.log" 2>&1 ||
    absent "go mod download failed: $(tail -n 1 "$cache/scheduler/plugins.log")"
  timeout 1500 go build -trimpath -o "$target.new" . >&2
  mv "$target.new" "$target"
fi
echo "$target"
