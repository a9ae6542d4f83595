"""All endpoints of the API in one table."""

from __future__ import annotations

from nbhub.web import oauth
from nbhub.web.api import activity, groups, hub, progress, proxy, servers, services, tokens, users, whoami
from nbhub.web.api.endpoints import Endpoints

# Also found directly below /hub/, where probes and browsers look for them.
ALSO_PAGES = frozenset(("health", "metrics", "security/csp-report"))

endpoints = Endpoints()
for _part in (hub, whoami, users, servers, progress, activity, tokens, groups, services, proxy, oauth):
    endpoints.include(_part.endpoints)
