"""The systemd unit of a hub on one machine: hardened, and restarted without ending anybody's work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UNIT = Path("etc/systemd/system/nbhub.service")
SYSUSERS = Path("etc/sysusers.d/nbhub.conf")
SECRET = Path("etc/nbhub/secret")
USER = "nbhub"
STATE = "/var/lib/nbhub"
HIDDEN = ("/home", "/root", "/run/user")  # by ProtectHome=true

_PLAIN = re.compile(r"[\w@%+=:,./-]+")


@dataclass(frozen=True, slots=True)
class Service:
    """What the unit depends on."""

    command: Sequence[str]  # `nbhub` by its absolute path, with its options
    system_users: bool  # servers run as the system users who log in, so the hub as root
    low_port: bool  # the public port is below 1024
    keeps_servers: bool  # servers and proxy outlive the hub


def unit(service: Service) -> str:
    """Return the text of nbhub.service."""
    return "\n".join((*_HEAD, *_running(service), *_rights(service), *_HARDENED, *_walls(service), *_TAIL)) + "\n"


def sysusers() -> str:
    """Return the line that has systemd make the hub's user."""
    return f'u {USER} - "nbhub" {STATE} /usr/sbin/nologin\n'


def hidden(service: Service) -> list[str]:
    """Return the paths in the command that the hub could not see behind ProtectHome."""
    if service.system_users:
        return []
    return [word for word in service.command if any(word.startswith(f"{place}/") for place in HIDDEN)]


_HEAD = (
    "# Written by `nbhub systemd install`; yours to change (systemctl edit nbhub).",
    "[Unit]",
    "Description=nbhub: a notebook server for every user",
    "After=network-online.target postgresql.service",
    "Wants=network-online.target",
    "",
    "[Service]",
    "Type=notify",
)


def _running(service: Service) -> list[str]:
    return [
        f"ExecStart={' '.join(map(_word, service.command))} --data-dir={STATE} --Hub.cookie_secret_file=%d/secret",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=always",
        "RestartSec=2",
        "# A setting forbids the start: only a person can help.",
        "RestartPreventExitStatus=2",
        "# The first start may have to download JupyterLab.",
        "TimeoutStartSec=15min",
        "TimeoutStopSec=60",
        *(_OUTLIVING if service.keeps_servers else ("KillMode=mixed",)),
        "# A kernel that used up the memory must not take the hub with it.",
        "OOMPolicy=continue",
        "TasksMax=infinity",
        "LimitNOFILE=65536",
        "",
        f"StateDirectory={USER}",
        "StateDirectoryMode=0700",
        f"LoadCredential=secret:/{SECRET}",
        "UMask=0077",
    ]


_OUTLIVING = (
    "# Servers and the proxy are left alone: a restart ends nobody's work, and the next hub finds them.",
    "KillMode=process",
)


def _rights(service: Service) -> list[str]:
    if service.system_users:
        return [
            "",
            "# Only root can start a process as another user. Of root's rights are left: becoming the user, looking",
            "# after the user's processes and home, PAM (its limits and audit too), and opening a port below 1024.",
            "User=root",
            "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_SYS_PTRACE CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE",
            "CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_NET_BIND_SERVICE CAP_SYS_RESOURCE",
            "CapabilityBoundingSet=CAP_AUDIT_WRITE CAP_AUDIT_CONTROL",
        ]
    port = "CAP_NET_BIND_SERVICE" if service.low_port else ""
    return [
        "",
        f"User={USER}",
        f"Group={USER}",
        f"CapabilityBoundingSet={port}",
        *([f"AmbientCapabilities={port}"] if port else []),
    ]


_HARDENED = (
    "",
    "# Servers inherit all of this.",
    "# People who are to use sudo in a notebook need NoNewPrivileges=false.",
    "NoNewPrivileges=true",
    "ProtectSystem=strict",
    "# Not PrivateTmp: it would be taken from servers that outlive the hub. Not PrivateDevices: it would hide GPUs.",
    "ReadWritePaths=/tmp /var/tmp",
    "ProtectKernelTunables=true",
    "ProtectKernelModules=true",
    "ProtectKernelLogs=true",
    "ProtectControlGroups=true",
    "ProtectClock=true",
    "ProtectHostname=true",
    "RestrictRealtime=true",
    "RestrictSUIDSGID=true",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "LockPersonality=true",
    "SystemCallArchitectures=native",
)


def _walls(service: Service) -> list[str]:
    if service.system_users:
        return ["# Where system users work.", "ReadWritePaths=/home -/run/user -/srv", "ProtectHome=false"]
    return [
        "ProtectHome=true",
        "ProtectProc=invisible",
        "RestrictNamespaces=true",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
    ]


_TAIL = ("", "[Install]", "WantedBy=multi-user.target")


def _word(text: str) -> str:
    """Return a word as systemd reads it back."""
    escaped = text.replace("%", "%%").replace("$", "$$")
    if _PLAIN.fullmatch(escaped):
        return escaped
    quoted = escaped.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{quoted}"'
