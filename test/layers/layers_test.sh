#!/usr/bin/env bash
# Breaks each rule of layers.awk once and sees it fail.
set -euo pipefail
readonly RULES="test/layers/layers.awk"

number=0
failed=0

# verdict NAME WANTED EDGE... : the graph of these edges must give WANTED ("clean" or a case's
# name).
verdict() {
  local name="$1" wanted="$2" graph output
  shift 2
  graph="$(printf '  "%s" -> "%s"\n' "$@")"
  output="$(awk -f "$RULES" <<<"$graph" | sed -n 's/^not ok [0-9]* - //p' || true)"
  number=$((number + 1))
  if [[ ${output:-clean} == "$wanted"* ]]; then
    echo "ok $number - $name"
  else
    echo "# wanted: $wanted"
    echo "# got: ${output:-clean}"
    echo "not ok $number - $name"
    failed=1
  fi
}

echo "1..14"
verdict "what the design allows is clean" clean \
  //proxy/app:main //base/loop //pilot/app:main //kube/rest //kube/rest //api/kube \
  //cli:meltemi //pilot/model //test/harness //proxy/app:main //base/loop @event//:event
verdict "a test of any part may read the examples" clean //proxy/app:a_test //examples/bootstrap
verdict "what is no test may not" "proxy depends on" //proxy/app:main //examples/bootstrap
verdict "base on proxy" "base depends on" //base/loop //proxy/route
verdict "api on base" "api depends on" //api/kube //base/loop
verdict "kube on pilot" "kube depends on" //kube/rest //pilot/model
verdict "proxy on pilot" "proxy depends on" //proxy/route //pilot/model
verdict "proxy on kube" "proxy depends on" //proxy/route //kube/rest
verdict "pilot on proxy" "pilot depends on" //pilot/model //proxy/route
verdict "orchestrator on pilot" "orchestrator depends on" //orchestrator/app //pilot/model
verdict "cli on test" "cli depends on" //cli:meltemi //test/harness
verdict "a new part must be placed" "every part of the tree" //extras:x //base/loop
verdict "the sidecar with gRPC, far below" "nothing in proxy links gRPC" \
  //proxy/app:main //api/envoy:ads //api/envoy:ads @grpc//:grpc++
verdict "the control plane with BoringSSL" "nothing in pilot links BoringSSL" \
  //pilot/app:main //base/tls //base/tls @boringssl//:ssl
exit "$failed"
