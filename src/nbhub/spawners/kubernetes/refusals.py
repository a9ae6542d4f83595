"""What the API server refuses, in words: the object, the reason, the remedy. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nbhub.spawners.kubernetes.sight import with_details

_KINDS = {
    "configmaps": "ConfigMap",
    "events": "event",
    "leases": "lease",
    "namespaces": "namespace",
    "networkpolicies": "NetworkPolicy",
    "persistentvolumeclaims": "volume claim",
    "pods": "pod",
    "secrets": "Secret",
    "services": "Service",
}
_DOING = {
    "create": "be created",
    "delete": "be deleted",
    "deletecollection": "be deleted",
    "get": "be read",
    "list": "be listed",
    "patch": "be changed",
    "update": "be changed",
    "watch": "be watched",
}
_RBAC = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_QUOTA = re.compile(r"exceeded quota: (\S+), requested: (\S*), used: (\S*), limited: (\S*)")
_UNSAID = re.compile(r"failed quota: (\S+): must specify (.+)$")
_SECURITY = re.compile(r'violates PodSecurity "([^"]+)": (.*)$', re.DOTALL)
_WEBHOOK_DENIED = re.compile(r'admission webhook "([^"]+)" denied the request:?\s*(.*)$', re.DOTALL)
_WEBHOOK_SILENT = re.compile(r'failed calling webhook "([^"]+)"')
_POLICY = re.compile(r"ValidatingAdmissionPolicy '([^']+)'.*denied request: (.*)$", re.DOTALL)
_ABSENT = (
    (re.compile(r"no PriorityClass with name (\S+) was found"), "priority class {0}", "priority_class_name"),
    (re.compile(r'serviceaccount "([^"]+)" not found'), "service account {0}", "service_account"),
    (re.compile(r'RuntimeClass "([^"]+)" not found'), "runtime class {0}", "extra_pod_config"),
)


def in_words(status: Mapping[str, Any], *, verb: str, kind: str, name: str, namespace: str) -> str:
    """Say why the API server refused a call.

    `status` is its answer, a Status object; `verb` as in a Role (create, get, …); `kind` a resource in the plural
    (pods) or a kind (Pod). The result is sentences, then perhaps an empty line and details.
    """
    what = _object(kind, name)
    words = str(status.get("message") or "")
    code, reason = int(status.get("code") or 0), str(status.get("reason") or "")
    if code == 401 or reason == "Unauthorized":
        return (
            "The Kubernetes API does not know the hub any more: its token is wrong or has run out. Ask your "
            "administrator to restart the hub, or to check its service account or kubeconfig."
        )
    for explain in (_rights, _quota, _namespace, _admission, _absent):
        if found := explain(words, what, namespace):
            return found
    if reason == "Invalid" or code == 422:
        return _invalid(status, what)
    return _other(status, verb, what, namespace)


def missing_right(status: Mapping[str, Any]) -> str:
    """Return the rule that a Role lacks, as YAML; empty when the call was refused for another reason."""
    found = _RBAC.search(str(status.get("message") or ""))
    return rule_yaml(found["group"], found["resource"], [found["verb"]]) if found else ""


def rule_yaml(group: str, resource: str, verbs: Sequence[str]) -> str:
    """Return one rule as it stands in a Role."""
    return f'- apiGroups: ["{group}"]\n  resources: ["{resource}"]\n  verbs: [{", ".join(verbs)}]'


def _object(kind: str, name: str) -> str:
    words = _KINDS.get(kind) or _KINDS.get(f"{kind.lower()}s") or kind
    return f"{words} {name}" if name else f"{words}s".replace("ys", "ies")


def _rights(words: str, what: str, namespace: str) -> str:
    found = _RBAC.search(words)
    if found is None:
        return ""
    within = f"in namespace {found['namespace']}" if found["namespace"] else "in the whole cluster"
    role = "Role" if found["namespace"] else "ClusterRole"
    resource = f"{found['resource']} of {found['group']}" if found["group"] else found["resource"]
    return with_details(
        f"The hub is not allowed to {found['verb']} {resource} {within}. Ask your administrator to add this rule to "
        f"the {role} of {found['user']}.",
        rule_yaml(found["group"], found["resource"], [found["verb"]]),
    )


def _quota(words: str, what: str, namespace: str) -> str:
    if found := _QUOTA.search(words):
        name, asked, used, limited = found.groups()
        lines = [_share(key, asked, used, limited) for key in _pairs(asked)]
        return with_details(
            f"The {what} does not fit into the quota {name} of namespace {namespace}. Stop another server or choose a "
            "smaller one, or ask your administrator for more.",
            "\n".join(lines),
        )
    if found := _UNSAID.search(words):
        return (
            f"The quota {found.group(1)} of namespace {namespace} wants every pod to say {found.group(2)}. Ask your "
            "administrator to set limits and guarantees (mem_guarantee, cpu_guarantee, mem_limit, cpu_limit)."
        )
    return ""


def _pairs(text: str) -> dict[str, str]:
    return dict(item.split("=", 1) for item in text.rstrip(",").split(",") if "=" in item)


def _share(key: str, asked: str, used: str, limited: str) -> str:
    return (
        f"{key}: {_pairs(asked)[key]} asked for, {_pairs(used).get(key, '?')} of {_pairs(limited).get(key, '?')} in use"
    )


def _namespace(words: str, what: str, namespace: str) -> str:
    if f'namespaces "{namespace}" not found' in words:
        return f"The namespace {namespace} does not exist. Ask your administrator to create it, or to name another."
    if "because it is being terminated" in words:
        return (
            f"The namespace {namespace} is being deleted, so the {what} cannot be created in it. "
            "Ask your administrator."
        )
    return ""


def _admission(words: str, what: str, namespace: str) -> str:
    if found := _SECURITY.search(words):
        broken = re.sub(r"\), (?=\w)", ")\n", found.group(2))
        return with_details(
            f"The {what} breaks the Pod Security rules ({found.group(1)}) of namespace {namespace}. Ask your "
            "administrator to change the configuration of servers as said here.",
            broken,
        )
    if found := _WEBHOOK_DENIED.search(words) or _POLICY.search(words):
        return with_details(
            f"The {what} was refused by a rule of this cluster ({found.group(1)}). Ask your administrator.",
            found.group(2),
        )
    if found := _WEBHOOK_SILENT.search(words):
        return with_details(
            f"The {what} could not be checked: {found.group(1)}, which this cluster asks about every such object, does "
            "not answer. Try again later, or ask your administrator.",
            words,
        )
    return ""


def _absent(words: str, what: str, namespace: str) -> str:
    for pattern, thing, setting in _ABSENT:
        if found := pattern.search(words):
            named = thing.format(found.group(1))
            return (
                f"The {what} was refused: there is no {named}. Ask your administrator to create it, or to name another "
                f"({setting})."
            )
    return ""


def _invalid(status: Mapping[str, Any], what: str) -> str:
    causes = (status.get("details") or {}).get("causes") or ()
    lines = [f"{item['field']}: {item.get('message', '')}" for item in causes if item.get("field")]
    return with_details(
        f"The {what} is not valid. Ask your administrator to correct the configuration of servers.",
        "\n".join(lines) or str(status.get("message") or ""),
    )


def _other(status: Mapping[str, Any], verb: str, what: str, namespace: str) -> str:
    words, code = str(status.get("message") or ""), int(status.get("code") or 0)
    act = _DOING.get(verb, verb)
    if code == 404:
        return f"The {what} cannot {act}: it does not exist in namespace {namespace}."
    if code == 409:
        sentence = f"The {what} cannot {act}: something else in the cluster has changed it in the meantime. Try again."
    elif code == 429:
        sentence = f"The {what} cannot {act} now: the Kubernetes API has too much to do. Try again."
    elif code >= 500:
        sentence = f"The {what} cannot {act} now: the Kubernetes API has trouble. Try again later."
    else:
        sentence = f"The {what} cannot {act}: the Kubernetes API refused it. Ask your administrator."
    return with_details(sentence, words)
