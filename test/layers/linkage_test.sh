#!/usr/bin/env bash
# What is in each binary, and what the loader would bring in. TAP.
#
#   linkage_test.sh PROXY PILOT ORCHESTRATOR CLI
set -euo pipefail

number=0
failed=0

# lacks NAME FILE REGEX : none of the libraries that FILE needs, directly or not, matches.
lacks() {
  local name="$1" file="$2" regex="$3" found
  number=$((number + 1))
  found="$(ldd "$file" 2>/dev/null | grep -E -- "$regex" || true)"
  if [[ -n $found ]]; then
    echo "$found" | sed 's/^/# /'
    echo "not ok $number - $name"
    failed=1
  else
    echo "ok $number - $name"
  fi
}

# needs NAME FILE REGEX : proves that the check above can see what it looks for.
needs() {
  number=$((number + 1))
  # Not grep -q: it would leave before ldd has finished, which pipefail takes for a failure.
  if ldd "$2" | grep -E -- "$3" >/dev/null; then
    echo "ok $number - $1"
  else
    echo "not ok $number - $1"
    failed=1
  fi
}

# defines NAME FILE SYMBOL yes|no : is the function inside, linked statically?
defines() {
  local found=no
  if nm "$2" | grep -E " [Tt] $3\$" >/dev/null; then found=yes; fi
  number=$((number + 1))
  if [[ $found == "$4" ]]; then
    echo "ok $number - $1"
  else
    echo "not ok $number - $1"
    failed=1
  fi
}

readonly PROXY="$1" PILOT="$2" ORCHESTRATOR="$3" CLI="$4"
echo "1..10"
needs "ldd shows what meltemi-pilot needs: OpenSSL" "$PILOT" '/libssl\.so\.3'
lacks "meltemi-proxy needs no OpenSSL" "$PROXY" '/lib(ssl|crypto)\.so\.[1-9]'
lacks "meltemi-proxy needs no gRPC" "$PROXY" '/lib(grpc|gpr|upb)'
lacks "meltemi-proxy needs no shared Abseil or protobuf" "$PROXY" '/lib(absl_|protobuf)'
defines "nm shows the gRPC inside meltemi-orchestrator" "$ORCHESTRATOR" grpc_init yes
defines "meltemi-pilot has no gRPC inside" "$PILOT" grpc_init no
defines "meltemi-proxy has no gRPC inside" "$PROXY" grpc_init no
defines "meltemi-proxy has no TLS library inside" "$PROXY" SSL_new no
lacks "meltemi-pilot needs no BoringSSL" "$PILOT" '/android/'
lacks "meltemi needs no BoringSSL" "$CLI" '/android/'
exit "$failed"
