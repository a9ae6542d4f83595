"""nbhub doctor on one machine: what it finds about folder, secret, database, ports, and what stands before the hub."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbhub.core.findings import Finding, State
from nbhub.doctor import front, machine, report
from nbhub.store import Store
from servers.hub import HubProcess
from servers.ports import free_port

FINDINGS = [
    Finding(State.OK, "database", "answers"),
    Finding(State.WARNING, "clock", "3.0 s ahead", "Use NTP."),
    Finding(State.FAILED, "right", "is missing", "Add:\n- verbs: [get]"),
]


def found(hub: HubProcess, *words: str) -> dict[str, dict[str, Any]]:
    """Run the doctor for a hub, and return its findings by what they are about."""
    status, text = hub.call("doctor", "--json", f"--port={hub.port}", f"--Hub.hub_port={hub.hub_port}", *words)
    findings: list[dict[str, Any]] = json.loads(text)["findings"]
    assert status == int(any(item["state"] == "failed" for item in findings)), text
    return {item["about"]: item for item in findings}


# -- telling ---------------------------------------------------------------------------------------------------------


def test_findings_are_told_with_their_remedies_below() -> None:
    assert report.line(FINDINGS[0]) == "ok       database: answers"
    assert report.line(FINDINGS[2]) == "failed   right: is missing\n         Add:\n         - verbs: [get]"
    assert report.summary(FINDINGS) == "1 ok, 1 to look at, 1 failed."
    assert report.summary(FINDINGS[:1]) == "All 1 findings are as they should be."
    assert [report.status(FINDINGS[:count]) for count in range(4)] == [0, 0, 0, 1]
    assert json.loads(report.as_json(FINDINGS))["findings"][1] == {
        "state": "warning",
        "about": "clock",
        "said": "3.0 s ahead",
        "remedy": "Use NTP.",
    }


# -- the machine -----------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    assert machine.folder(tmp_path / "new" / "one").state is State.OK
    assert not (tmp_path / "new").exists()
    refused = machine.folder(Path("/proc/self/nowhere"))
    assert refused.state is State.FAILED
    assert "cannot be written to" in refused.said
    assert "--data-dir" in refused.remedy


def test_a_folder_that_everybody_may_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    tmp_path.chmod(0o755)
    assert machine.folder(tmp_path).state is State.WARNING
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert machine.folder(tmp_path).state is State.OK, "a volume belongs to the pod alone"
    tmp_path.chmod(0o700)
    assert machine.folder(tmp_path).state is State.OK
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ahead", "state"), [(0.2, State.OK), (-1.9, State.OK), (5, State.WARNING), (-40, State.FAILED)]
)
def test_clocks_are_compared(ahead: float, state: State) -> None:
    assert machine.clock("clock of the database", ahead).state is state


def test_passwords_of_databases_are_not_told() -> None:
    assert machine.without_password("postgresql://hub:geheim@db/nbhub") == "postgresql://hub:…@db/nbhub"
    assert machine.without_password("sqlite:////data/nbhub.sqlite") == "sqlite:////data/nbhub.sqlite"


def test_before_the_first_start_all_is_well(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, "c.Hub.spawner_class = 'fake'\n")
    told = found(hub)
    assert {item["state"] for item in told.values()} == {"ok"}
    assert "the first start makes it" in told["database"]["said"]
    assert not hub.data_dir.exists()


def test_broken_parts_are_named(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, "c.Hub.spawner_class = 'fake'\nc.Proxy.command = '/nowhere/envoy'\n")
    hub.data_dir.mkdir(mode=0o700)
    (hub.data_dir / "secret").write_text("short")
    (hub.data_dir / "secret").chmod(0o600)
    (hub.data_dir / "nbhub.sqlite").write_text("this is no database, though it is long enough to look like one" * 20)
    told = found(hub)
    assert "64 hexadecimal digits" in told["secret"]["said"]
    assert told["database"]["state"] == "failed"
    assert "there is no file /nowhere/envoy" in told["Envoy"]["said"]


def test_the_command_of_servers_is_looked_for(tmp_path: Path) -> None:
    there = HubProcess(tmp_path / "a", "c.Hub.spawner_class = 'simple'\nc.Spawner.cmd = ['sleep']\n")
    assert found(there)["command of servers"]["said"] == "sleep is installed"
    missing = HubProcess(tmp_path / "b", "c.Hub.spawner_class = 'simple'\nc.Spawner.cmd = ['no-such-command']\n")
    told = found(missing)["command of servers"]
    assert told["state"] == "failed"
    assert "no-such-command" in told["said"]
    later = HubProcess(tmp_path / "c", "c.Hub.spawner_class = 'simple'\n", env={"PATH": str(tmp_path)})
    assert "the first start installs it" in found(later)["command of servers"]["said"]
    assert not later.data_dir.exists()


def test_a_mistake_in_the_configuration_is_a_finding(tmp_path: Path) -> None:
    told = found(HubProcess(tmp_path, "c.Hub.prot = 1\n"))
    assert told["configuration"]["state"] == "failed"
    assert "port" in told["configuration"]["said"]


def test_a_port_of_another_program_is_told(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, "c.Hub.spawner_class = 'fake'\n")
    with http.server.HTTPServer(("127.0.0.1", hub.port), http.server.SimpleHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        told = found(hub)[f"port {hub.port}"]
        other.shutdown()
    assert (told["state"], told["said"]) == ("failed", "is used by another program.")


async def test_postgresql_is_asked_for_its_time(postgresql_url: str) -> None:
    await (await Store.open(postgresql_url)).close()
    hub = type("Settings", (), {"database": postgresql_url})
    told = [finding async for finding in machine.database(hub)]  # type: ignore[arg-type]
    assert [(finding.about, finding.state) for finding in told] == [
        ("database", State.OK),
        ("clock of the database", State.OK),
    ]


# -- what stands before the hub --------------------------------------------------------------------------------------


@contextlib.contextmanager
def ingress(hub: HubProcess, *, strip: str = "", keep_upgrade: bool = True, host: str = "") -> Iterator[str]:
    """Something before a hub that cuts off a prefix, drops the handshake of websockets, or changes the name."""

    class Passing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = dict(self.headers.items())
            if not keep_upgrade:
                headers = {name: value for name, value in headers.items() if name not in ("Upgrade", "Connection")}
            if host:
                headers["Host"] = host
            connection = http.client.HTTPConnection("127.0.0.1", hub.port)
            connection.request("GET", self.path.removeprefix(strip), headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    port = free_port()
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Passing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{port}"
        server.shutdown()


async def test_what_an_ingress_takes_away_is_named(tmp_path: Path) -> None:
    settings = "c.Hub.spawner_class = 'fake'\nc.Hub.base_url = '/team/'\n"
    hub = HubProcess(tmp_path, settings)
    hub.spawn()
    try:
        await asyncio.to_thread(until_it_answers, hub)

        def seen(url: str) -> dict[str, dict[str, Any]]:
            return found(hub, f"--Hub.public_url={url}/team/")

        with ingress(hub) as url:
            told = await asyncio.to_thread(seen, url)
            assert {item["state"] for item in told.values()} == {"ok"}, told
            assert {"public URL", "websockets", "forwarded headers"} <= told.keys()
            assert "a second one would be refused" in told["hub of this database"]["said"]
        with ingress(hub, keep_upgrade=False) as url:
            told = await asyncio.to_thread(seen, url)
            assert "never run a cell" in told["websockets"]["said"]
        assert "WebSocket library" not in hub.text(), "the doctor's handshake leaves no complaint in the hub's log"
        with ingress(hub, host="hub") as url:
            told = await asyncio.to_thread(seen, url)
            assert "arrives as one to http://hub." in told["forwarded headers"]["said"]
        with ingress(hub, strip="/team") as url:
            told = await asyncio.to_thread(seen, url)
            assert "its path /team/ seems to be cut off" in told["public URL"]["said"]
        told = await asyncio.to_thread(seen, f"http://127.0.0.1:{free_port()}")
        assert told["public URL"]["state"] == "warning"
    finally:
        await hub.stop()


def until_it_answers(hub: HubProcess) -> None:
    """Wait for a hub below another path than /."""
    end = time.monotonic() + 200
    while not asyncio.run(front.ask(f"{hub.url}/team/hub/api")).is_hub:
        assert hub.alive and time.monotonic() < end, hub.text()
        time.sleep(0.1)
