#!/usr/bin/env bash
# What other people's resolvers make of the cluster's DNS: dig, glibc (getent, Python), busybox.
# resolvers_test.sh SERVER : in a network namespace of its own, with a pod's resolv.conf. TAP.
set -uo pipefail
skip_all() { echo "1..0 # SKIP $*"; exit 0; }
((EUID == 0)) || skip_all "needs root"
for program in ip getent python3; do
  command -v "$program" >/dev/null || skip_all "needs $program"
done

server="$1"
netns="dns-$$"
folder="$(mktemp -d)"
number=0
failed=0
pids=()

cleanup() {
  local pid
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
  ip netns delete "$netns" 2>/dev/null
  rm -rf "/etc/netns/$netns" "$folder"
  rmdir /etc/netns 2>/dev/null
}
trap cleanup EXIT

pod() { ip netns exec "$netns" "$@"; }

# says NAME EXPECTED COMMAND... : its output is exactly that, or matches /REGEX/.
says() {
  local name="$1" expected="$2" said
  shift 2
  number=$((number + 1))
  if ! command -v "$1" >/dev/null; then
    echo "ok $number - $name # SKIP needs $1"
    return
  fi
  said="$(pod timeout 20 "$@" 2>&1)"
  if [[ $expected == /*/ && $said =~ ${expected:1:-1} ]] || [[ $said == "$expected" ]]; then
    echo "ok $number - $name"
  else
    echo "# it said: ${said//$'\n'/$'\n'# }"
    echo "not ok $number - $name"
    failed=1
  fi
}

count() { pod timeout 20 "$@" 2>&1 | sort -u | wc -l; }
is() { # is NAME EXPECTED GOT
  number=$((number + 1))
  if [[ $2 == "$3" ]]; then
    echo "ok $number - $1"
  else
    echo "# expected $2, got $3"
    echo "not ok $number - $1"
    failed=1
  fi
}

# Not through pod(): $! would be a shell's, which leaves its program behind.
start() {
  mkdir -p "/etc/netns/$netns"
  printf '%s\n' 'nameserver 10.96.0.10' 'options ndots:5' \
    'search ns-0.svc.cluster.local svc.cluster.local cluster.local' >"/etc/netns/$netns/resolv.conf"
  ip netns add "$netns" || skip_all "no network namespaces here"
  pod ip link set lo up
  pod ip address add 10.96.0.10/32 dev lo
  local upstream=() i
  if command -v dnsmasq >/dev/null; then
    for i in {1..150}; do echo "192.0.2.$i big.example"; done >"$folder/big"
    ip netns exec "$netns" dnsmasq --keep-in-foreground --no-resolv --no-hosts \
      --conf-file=/dev/null --port=5353 --listen-address=127.0.0.1 --bind-interfaces \
      --user=root --pid-file \
      --addn-hosts="$folder/big" --address=/www.example/192.0.2.7 2>/dev/null &
    pids+=($!)
    upstream=(--upstream=127.0.0.1:5353)
  fi
  ip netns exec "$netns" "$server" --services=200 --endpoints=100 --listen=10.96.0.10:53 \
    "${upstream[@]}" >/dev/null &
  pids+=($!)
  local until=$((SECONDS + 20))
  until pod getent hosts svc-1 >/dev/null; do
    ((SECONDS < until)) || break
    sleep 0.1
  done
}

with_dig() {
  local zone=ns-0.svc.cluster.local
  says "dig: a service" 10.96.1.1 dig +short "svc-1.$zone"
  says "dig: along the search path" 10.96.1.1 dig +short +search svc-1
  says "dig: over TCP" 10.96.1.1 dig +tcp +short "svc-1.$zone"
  says "dig: without EDNS" 10.96.1.1 dig +noedns +short "svc-1.$zone"
  says "dig: with options it does not know" 10.96.1.1 \
    dig +nsid +cookie +subnet=0/0 +short "svc-1.$zone"
  says "dig: a port" "0 100 80 svc-1.$zone." dig +short SRV "_http._tcp.svc-1.$zone"
  says "dig: an address" "svc-1.$zone." dig +short -x 10.96.1.1
  says "dig: a pod" 10.128.0.5 dig +short 10-128-0-5.ns-0.pod.cluster.local
  says "dig: the case stays" "/sVc-1.Ns-0.svc.cluster.local.*IN/" dig "sVc-1.Ns-0.svc.cluster.local"
  says "dig: no such name" "/status: NXDOMAIN.*SOA[[:space:]]ns.dns.cluster.local/" \
    dig "nobody.$zone"
  says "dig: no such record" "/status: NOERROR.*ANSWER: 0/" dig AAAA "svc-1.$zone"
  says "dig: the version" '"1.1.0"' dig +short TXT dns-version.cluster.local
  says "dig: a bad version of EDNS" "/status: BADVERS/" dig +edns=1 +noednsneg "svc-1.$zone"
  says "dig: many at once are cut" "/flags:.* tc /" dig +ignore "svc-9.$zone"
  if command -v dig >/dev/null; then
    is "dig: and whole over TCP" 100 "$(count dig +short "svc-9.$zone")"
  fi
  if command -v dnsmasq >/dev/null; then
    says "dig: other names come from upstream" 192.0.2.7 dig +short www.example
    says "dig: and are remembered" "/www.example.*IN.*A.*192.0.2.7/" dig www.example
    is "dig: what upstream cuts is fetched over TCP" 150 "$(count dig +short big.example)"
  fi
}

with_glibc() {
  local python='import socket as s; print(len(s.getaddrinfo("svc-9", 80, type=s.SOCK_STREAM)))'
  says "glibc: the short name" "/^10\.96\.1\.1 +svc-1\.ns-0\.svc\.cluster\.local/" \
    getent hosts svc-1
  says "glibc: name and namespace" "/^10\.96\.1\.101/" getent hosts svc-101.ns-1
  says "glibc: name, namespace and svc" "/^10\.96\.1\.101/" getent hosts svc-101.ns-1.svc
  says "glibc: no such name" "" getent hosts nobody
  says "glibc: an address" "/svc-1\.ns-0\.svc\.cluster\.local/" getent hosts 10.96.1.1
  is "glibc: what does not fit comes over TCP" 100 "$(pod getent ahostsv4 svc-9 | grep -c STREAM)"
  says "Python: the same" 100 python3 -c "$python"
  says "busybox: a service" "/Address:? (1: )?10\.96\.1\.1/" \
    busybox nslookup svc-1.ns-0.svc.cluster.local
}

start
with_dig
with_glibc
echo "1..$number"
exit "$failed"
