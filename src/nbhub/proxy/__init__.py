"""Let them in: Envoy on the public address, told by files what answers below which path.

Reads routes from the store, turns them into Envoy's resources and keeps Envoy running. Never calls the reconciler or
the web; Envoy is a projection of the database, so losing it costs one snapshot and no knowledge.
"""

from nbhub.proxy.envoy import Proxy

__all__ = ["Proxy"]
