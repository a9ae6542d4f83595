"""What Envoy is started with: the public listener, its two clusters, its limits. Everything but the routes.

Pure: settings in, dicts in the JSON form of Envoy's protocol buffers out.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Any

from nbhub.core import feed
from nbhub.proxy import replies, to_https
from nbhub.proxy.resources import DESTINATION, TABLE
from nbhub.proxy.wire import TYPE

Resource = dict[str, Any]

_HCM = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_HTTP_OPTIONS = TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# Only so much is counted as somebody looks at: Envoy keeps a few hundred other meters, each with its cost in memory.
_STATS = (
    r"server\.(live|memory_allocated)|listener_manager\.listener_create_(failure|success)"
    r"|http\.public\.(downstream_(cx|rq)_(active|total)|downstream_cx_upgrades_active|rds\.nbhub\..*)"
    r"|cluster\.(hub|servers)\.(upstream_cx_active|upstream_cx_connect_fail|upstream_rq_total)"
    r"|overload\..*\.active"
)
_MIB = 1024 * 1024

# Other ways to say where a request comes from or goes to, which programs behind us might believe.
_CLAIMS = (
    "forwarded",
    "proxy",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-scheme",
)


@dataclass(frozen=True, slots=True)
class Edge:
    """Everything that decides how Envoy is started. Sizes in bytes, times in seconds; paths are absolute."""

    ip: str
    port: int
    base_url: str
    hub_target: str  # host:port
    table_path: str  # the route table that Envoy watches
    unreachable_path: str  # where Envoy notes servers that did not answer
    admin_path: str  # Unix socket
    hub_word: str = ""  # by which the hub knows what this proxy passes on; empty: it knows by the address
    certificate_path: str = ""  # the secret that Envoy watches; empty: no TLS
    http_port: int = 0  # plain HTTP that is sent on to https; 0: none
    trusted_hops: int = 0
    max_connections: int = 20_000
    memory_limit: int = 1024 * _MIB
    buffer_limit: int = 256 * 1024
    max_headers_kb: int = 64
    max_headers: int = 128
    request_headers_timeout: float = 15
    keep_alive: float = 120
    connect_timeout: float = 5
    hub_idle_timeout: float = 300
    identity_headers: tuple[str, ...] = ()


def bootstrap(edge: Edge) -> Resource:
    """Build Envoy's bootstrap."""
    listeners = [listener(edge)]
    if edge.http_port:
        timeout = _seconds(edge.request_headers_timeout)
        listeners.append(to_https.listener(edge.ip, edge.http_port, edge.port, headers_timeout=timeout))
    return {
        "node": {"id": "nbhub", "cluster": "nbhub"},
        "admin": {"address": {"pipe": {"path": edge.admin_path, "mode": 0o600}}},
        "static_resources": {"listeners": listeners, "clusters": [hub_cluster(edge), servers_cluster(edge)]},
        "overload_manager": overload_manager(edge),
        # A new route table is read before the old one is let go; what that leaves free goes back a minute later.
        "memory_allocator_manager": {"bytes_to_release": _MIB, "memory_release_interval": "1s"},
        "stats_config": {
            "stats_matcher": {"inclusion_list": {"patterns": [{"safe_regex": {"regex": _STATS}}]}},
        },
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    "static_layer": {
                        # One request of a connection in each turn, so that a flood cannot starve the others.
                        "http.max_requests_per_io_cycle": 1,
                        # The regular expression that refuses ambiguous paths is larger than Envoy's warning level.
                        "re2.max_program_size.error_level": 1000,
                        "re2.max_program_size.warn_level": 1000,
                    },
                }
            ]
        },
    }


def listener(edge: Edge) -> Resource:
    """Build the one listener."""
    chain: Resource = {"filters": [_filter("envoy.filters.network.http_connection_manager", _manager(edge))]}
    if edge.certificate_path:
        chain["transport_socket"] = _tls(edge)
        chain["transport_socket_connect_timeout"] = _seconds(edge.request_headers_timeout)
    return {
        "name": "public",
        "address": _address(edge.ip, edge.port),
        # Two programs on one port would share its connections by chance; the second has to fail.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": edge.buffer_limit,
        "socket_options": _keep_alive_options(),
        "filter_chains": [chain],
    }


def hub_cluster(edge: Edge) -> Resource:
    """Build the cluster of the hub itself."""
    host, _, port = edge.hub_target.rpartition(":")
    host = host.strip("[]")
    host = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    endpoint = {"endpoint": {"address": _address(host, int(port))}}
    return {
        "name": "hub",
        "type": "STATIC" if _is_ip(host) else "STRICT_DNS",
        "load_assignment": {"cluster_name": "hub", "endpoints": [{"lb_endpoints": [endpoint]}]},
        # Shorter than the hub keeps idle connections, so that no request is sent on one that it just closes. Behind a
        # name connections are made anew, so that hubs which came later get their share.
        **_upstream(edge, idle=4, word=edge.hub_word, longest=0 if _is_ip(host) else 30),
        **({} if _is_ip(host) else _several()),
    }


def _several() -> Resource:
    """Say how to choose among the hubs behind one name: those that can be connected to, looked up anew all the time."""
    check = {
        "timeout": "2s",
        "interval": "2s",
        "no_traffic_interval": "5s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "tcp_health_check": {},
    }
    return {
        "dns_lookup_family": "V4_PREFERRED",
        "dns_refresh_rate": "5s",
        "health_checks": [check],
        # With none left they are all tried: a hub that is just being restarted is worth waiting for.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
    }


def servers_cluster(edge: Edge) -> Resource:
    """Build the cluster of all servers: each route names its destination in a header."""
    return {
        "name": "servers",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "original_dst_lb_config": {"use_http_header": True, "http_header_name": DESTINATION},
        "cleanup_interval": "30s",
        **_upstream(edge, idle=55),
    }


def overload_manager(edge: Edge) -> Resource:
    """Bound connections and memory; what is over is refused, what is in use stays."""
    prefix = "envoy.resource_monitors."
    connections = "downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            _filter(
                prefix + "global_downstream_max_connections",
                {
                    "@type": f"{TYPE}envoy.extensions.resource_monitors.{connections}",
                    "max_active_downstream_connections": edge.max_connections,
                },
            ),
            _filter(
                prefix + "fixed_heap",
                {
                    "@type": f"{TYPE}envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": edge.memory_limit,
                },
            ),
        ],
        "actions": [
            _overload("shrink_heap", 0.85),
            _overload("disable_http_keepalive", 0.9),
            _overload("stop_accepting_requests", 0.95),
            _overload("stop_accepting_connections", 0.97),
        ],
    }


def _manager(edge: Edge) -> Resource:
    return {
        "@type": _HCM,
        "stat_prefix": "public",
        "codec_type": "AUTO" if edge.certificate_path else "HTTP1",
        "rds": {
            "route_config_name": TABLE,
            "config_source": {"path_config_source": {"path": edge.table_path}, "resource_api_version": "V3"},
        },
        "http_filters": [_router()],
        # paths
        "normalize_path": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        # upgrades
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        # who asks
        "use_remote_address": True,
        "xff_num_trusted_hops": edge.trusted_hops,
        "append_x_forwarded_port": True,
        "early_header_mutation_extensions": [_strip(edge)],
        "forward_client_cert_details": "SANITIZE",
        "server_header_transformation": "PASS_THROUGH",
        # limits
        "max_request_headers_kb": edge.max_headers_kb,
        "common_http_protocol_options": {
            "max_headers_count": edge.max_headers,
            "idle_timeout": _seconds(edge.keep_alive),
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 256 * 1024,
            "initial_connection_window_size": _MIB,
        },
        "request_headers_timeout": _seconds(edge.request_headers_timeout),
        "request_timeout": "0s",  # an upload may take as long as it needs
        "stream_idle_timeout": _seconds(
            edge.hub_idle_timeout
        ),  # routes to servers switch it off: a kernel may be silent for days
        "delayed_close_timeout": "1s",
        "drain_timeout": "1s",  # how long a connection that became idle still takes one last request
        "local_reply_config": replies.local_replies(edge.base_url),
        "access_log": [_unreachable(edge)],
    }


def _router() -> Resource:
    kind = TYPE + "envoy.extensions.filters.http.router.v3.Router"
    return _filter("envoy.filters.http.router", {"@type": kind, "suppress_envoy_headers": True})


def _strip(edge: Edge) -> Resource:
    """Remove what only we or a login proxy may say, before anything reads it; `_` counts as `-`, as in CGI."""
    names = [*edge.identity_headers, *_CLAIMS]
    if not edge.trusted_hops:
        names += ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"]
    spelled = [re.sub("[-_]", "[-_]", re.escape(name.lower()).replace(r"\-", "-")) for name in names]
    pattern = "|".join(["x[-_]envoy[-_].*", "x[-_]nbhub[-_].*", *spelled])
    return _filter(
        "envoy.http.early_header_mutation.header_mutation",
        {
            "@type": TYPE + "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [{"remove_on_match": {"key_matcher": {"safe_regex": {"regex": f"(?i)(?:{pattern})"}}}}],
        },
    )


def _unreachable(edge: Edge) -> Resource:
    """Note the addresses of servers that refused or dropped a request, for the hub to look at them."""
    condition = {"response_flag_filter": {"flags": ["UF", "UC", "URX"]}}
    to_server = {"header_filter": {"header": {"name": DESTINATION, "present_match": True}}}
    return {
        **_filter(
            "envoy.access_loggers.file",
            {
                "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": edge.unreachable_path,
                "log_format": {"text_format_source": {"inline_string": f"%REQ({DESTINATION})%\n"}},
            },
        ),
        "filter": {"and_filter": {"filters": [condition, to_server]}},
    }


def _upstream(edge: Edge, *, idle: float, word: str = "", longest: float = 0) -> Resource:
    most = 1_000_000  # bounded by the connections that we accept; Envoy's own default is 1,024
    return {
        "connect_timeout": _seconds(edge.connect_timeout),
        "per_connection_buffer_limit_bytes": edge.buffer_limit,
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": most, "max_pending_requests": most, "max_requests": most, "max_retries": 100}
            ]
        },
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 60, "keepalive_interval": 20}
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _HTTP_OPTIONS,
                "common_http_protocol_options": {
                    "idle_timeout": _seconds(idle),
                    "max_headers_count": 256,
                    **({"max_connection_duration": _seconds(longest)} if longest else {}),
                },
                "explicit_http_config": {"http_protocol_options": {}},
                **({"http_filters": _introducing(word)} if word else {}),
            }
        },
    }


def _introducing(word: str) -> list[Resource]:
    """Tell the hub that a request comes through a proxy of its own; whatever a client said of it was removed."""
    header = {"header": {"key": feed.HEADER, "value": word}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    filters = TYPE + "envoy.extensions.filters.http."
    mutation = {
        "@type": filters + "header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": [{"append": header}]},
    }
    codec = {"@type": filters + "upstream_codec.v3.UpstreamCodec"}
    return [
        _filter("envoy.filters.http.header_mutation", mutation),
        _filter("envoy.filters.http.upstream_codec", codec),
    ]


def _tls(edge: Edge) -> Resource:
    secret = {
        "name": "certificate",
        "sds_config": {"path_config_source": {"path": edge.certificate_path}, "resource_api_version": "V3"},
    }
    return _filter(
        "envoy.transport_sockets.tls",
        {
            "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificate_sds_secret_configs": [secret],
            },
        },
    )


def _keep_alive_options() -> list[Resource]:
    """Ask the kernel to find clients that are gone: websockets have no idle limit that would."""
    idle = int(getattr(socket, "TCP_KEEPIDLE", 0x10))  # macOS calls it TCP_KEEPALIVE
    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, idle, 60),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 20),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    ]
    return [
        {"level": int(level), "name": int(name), "int_value": value, "state": "STATE_LISTENING"}
        for level, name, value in options
    ]


def _overload(action: str, threshold: float) -> Resource:
    trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}
    return {"name": f"envoy.overload_actions.{action}", "triggers": [trigger]}


def _filter(name: str, config: Resource) -> Resource:
    return {"name": name, "typed_config": config}


def _address(host: str, port: int) -> Resource:
    return {"socket_address": {"address": host, "port_value": port}}


def _seconds(value: float) -> str:
    return f"{value:g}s"


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
