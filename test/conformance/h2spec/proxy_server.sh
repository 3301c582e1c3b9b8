#!/usr/bin/env bash
# meltemi-proxy in front of the codec's server, both over HTTP/2 with prior knowledge:
# proxy_server.sh PROXY H2_SERVER. Prints its port and serves until its standard input ends; fails
# when the proxy has died by then.
set -euo pipefail
readonly PROXY="$1" H2_SERVER="$2"
readonly ROOM="$(mktemp -d "${TEST_TMPDIR:-/tmp}/proxy.XXXXXX")"
readonly TYPES=type.googleapis.com/envoy.extensions

# first_line FILE PID : waits for the first line of a file that a process writes.
first_line() {
  local line
  read -r line < <(tail --pid="$2" -f -n +1 "$1" 4>&-) && echo "$line"
}

mkfifo "$ROOM/upstream.stdin"
touch "$ROOM/upstream.port" "$ROOM/proxy.log"
"$H2_SERVER" <"$ROOM/upstream.stdin" >"$ROOM/upstream.port" &
upstream=$!
exec 4>"$ROOM/upstream.stdin"
upstream_port="$(first_line "$ROOM/upstream.port" $upstream)"

cat >"$ROOM/bootstrap.yaml" <<END
node: {id: h2spec, cluster: h2spec}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": $TYPES.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          codec_type: HTTP2
          route_config:
            name: web
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: upstream}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": $TYPES.filters.http.router.v3.Router
  clusters:
  - name: upstream
    type: STATIC
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": $TYPES.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $upstream_port}}}
END
"$PROXY" run -c "$ROOM/bootstrap.yaml" >"$ROOM/proxy.log" 2>&1 4>&- &
proxy=$!
# The log says where the admin pages are, and these where the listener is.
admin_port=""
while read -r line; do
  [[ $line =~ admin\ on\ 127\.0\.0\.1:([0-9]+) ]] && admin_port="${BASH_REMATCH[1]}"
  [[ $line == *"ready after"* ]] && break
done < <(tail --pid=$proxy -f -n +1 "$ROOM/proxy.log" 4>&-)
if [[ -z $admin_port ]]; then
  cat "$ROOM/proxy.log" >&2
  exit 1
fi
exec 5<>"/dev/tcp/127.0.0.1/$admin_port"
printf 'GET /listeners HTTP/1.0\r\n\r\n' >&5
port="$(awk -F: '/^web::/ { print $NF }' <&5)"
exec 5>&-
[[ -n $port ]] || exit 1
echo "$port"

cat >/dev/null
kill -0 $proxy || {
  tail -n 5 "$ROOM/proxy.log" >&2
  exit 1
}
kill -KILL $proxy
exec 4>&-
wait $upstream
