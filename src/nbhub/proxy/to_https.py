"""The second listener of an address with HTTPS: plain HTTP, every request sent on to the same address by https.

Pure: settings in, dicts in the JSON form of Envoy's protocol buffers out.
"""

from __future__ import annotations

from typing import Any

from nbhub.proxy.wire import TYPE

Resource = dict[str, Any]

_HCM = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = TYPE + "envoy.extensions.filters.http.router.v3.Router"


def listener(ip: str, port: int, https_port: int, *, headers_timeout: str) -> Resource:
    """Build the listener on `port`; requests are sent to `https_port` of the host that they name."""
    redirect: Resource = {"https_redirect": True, "response_code": "PERMANENT_REDIRECT"}
    if (port, https_port) != (80, 443):
        redirect["port_redirect"] = https_port
    manager = {
        "@type": _HCM,
        "stat_prefix": "to_https",
        "codec_type": "HTTP1",
        "route_config": {
            "name": "to_https",
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "redirect": redirect}]}
            ],
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
        "use_remote_address": True,
        "max_request_headers_kb": 64,
        "common_http_protocol_options": {"max_headers_count": 128, "idle_timeout": "10s"},
        "request_headers_timeout": headers_timeout,
        "request_timeout": "30s",
        "stream_idle_timeout": "30s",
    }
    return {
        "name": "to_https",
        "address": {"socket_address": {"address": ip, "port_value": port}},
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 64 * 1024,
        "filter_chains": [
            {
                "filters": [
                    {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
                ]
            }
        ],
    }
