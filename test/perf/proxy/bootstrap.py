"""The bootstrap that Envoy and meltemi-proxy both read: a sidecar's shape without a control plane."""

import json

# So many services a sidecar of a small mesh knows; the one that is asked for stands in the middle.
SERVICES = 100


def _cluster(name, port, http2):
    cluster = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {
            "thresholds": [{
                "max_connections": 100000,
                "max_pending_requests": 100000,
                "max_requests": 100000,
                "max_retries": 100000,
            }]
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}],
        },
    }
    if http2:
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return cluster


def _address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _virtual_host(index):
    host = "service-%d.default.svc.cluster.local" % index
    return {
        "name": host + ":80",
        "domains": [host, host + ":80", "service-%d" % index, "service-%d.default" % index],
        "routes": [{
            "name": "default",
            "match": {"prefix": "/"},
            "route": {
                "cluster": "outbound|80||" + host,
                "timeout": "0s",
                "retry_policy": {
                    "retry_on": "connect-failure,refused-stream,unavailable,cancelled",
                    "num_retries": 2,
                },
            },
        }],
    }


def _filter(name, kind):
    return {
        "name": name,
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.%s" % kind},
    }


def bootstrap(listen_port, admin_port, upstream_port, upstream_http2):
    """Returns the bootstrap as JSON text. Requests for service-50 go to the upstream."""
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
                 ".HttpConnectionManager",
        "stat_prefix": "outbound_0.0.0.0_80",
        "codec_type": "AUTO",
        "server_name": "istio-envoy",
        "use_remote_address": False,
        "stream_idle_timeout": "300s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {
            "name": "80",
            "virtual_hosts": [_virtual_host(i) for i in range(SERVICES)],
        },
        "http_filters": [
            _filter("envoy.filters.http.fault", "fault.v3.HTTPFault"),
            _filter("envoy.filters.http.cors", "cors.v3.Cors"),
            _filter("envoy.filters.http.router", "router.v3.Router"),
        ],
    }
    clusters = []
    for i in range(SERVICES):
        name = "outbound|80||service-%d.default.svc.cluster.local" % i
        clusters.append(_cluster(name, upstream_port, upstream_http2))
    return json.dumps({
        "node": {"id": "sidecar~127.0.0.1~bench.default~default.svc.cluster.local",
                 "cluster": "bench.default"},
        "admin": {"address": _address(admin_port)},
        "static_resources": {
            "listeners": [{
                "name": "0.0.0.0_80",
                "address": _address(listen_port),
                "traffic_direction": "OUTBOUND",
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": manager,
                }]}],
            }],
            "clusters": clusters,
        },
    }, indent=1)
