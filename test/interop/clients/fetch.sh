#!/usr/bin/env bash
# Brings other people's Kubernetes clients, pinned by version, into the ignored folder
# .cache/interop of the checkout, once, and prints the path of the program. For tests only.
#
#   fetch.sh semantics | client      Go programs of this folder on client-go (go/go.mod)
#   fetch.sh node                    a folder with @kubernetes/client-node (node/package.json)
#
# Exit 0: the path on standard output. Exit 3: cannot be had here; the reason on standard error.
# Exit 1: our own program is broken.
set -euo pipefail

here="$(dirname "$(readlink -f "$0")")"
cache="$here/../../../.cache/interop"
mkdir -p "$cache/clients"
cache="$(readlink -f "$cache")"
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
export PATH="$PATH:/usr/local/go/bin"

absent() {
  echo "$*" >&2
  exit 3
}

# Two tests may ask at the same time.
exec 9>"$cache/clients/lock"
flock 9

# build_go NAME: go/NAME, anew when a source has changed.
build_go() {
  local sum target
  sum="$(cat "$here/go/go.mod" "$here/go/go.sum" "$here/go/$1"/*.go | sha256sum | cut -c1-16)"
  target="$cache/clients/$1-$sum"
  if [[ ! -x $target ]]; then
    command -v go >/dev/null || absent "go is not installed: apt-get install golang-go"
    cd "$here/go"
    export GOMODCACHE="$cache/go" GOFLAGS="-modcacherw -mod=readonly -buildvcs=false"
    timeout 300 go mod download >"$cache/clients/$1.log" 2>&1 ||
      absent "go mod download failed: $(tail -n 1 "$cache/clients/$1.log")"
    timeout 1500 go build -trimpath -o "$target.new" "./$1" >&2
    mv "$target.new" "$target"
  fi
  echo "$target"
}

install_node() {
  local sum target
  sum="$(sha256sum "$here/node/package.json" | cut -c1-16)"
  target="$cache/clients/node-$sum"
  if [[ ! -d $target/node_modules/@kubernetes/client-node ]]; then
    command -v npm >/dev/null || absent "npm is not installed: apt-get install npm"
    mkdir -p "$target"
    cp "$here/node/package.json" "$target/"
    (cd "$target" && timeout 300 npm install --no-audit --no-fund --ignore-scripts) \
      >"$cache/clients/node.log" 2>&1 ||
      absent "npm install failed: $(tail -n 1 "$cache/clients/node.log")"
  fi
  cp "$here"/node/*.mjs "$target/"
  echo "$target"
}

case "${1:-}" in
  semantics | client) build_go "$1" ;;
  node) install_node ;;
  *)
    exit 2
    ;;
esac
