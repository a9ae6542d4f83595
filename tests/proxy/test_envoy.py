"""Envoy's life: started, killed, left alone, adopted, replaced, refused; and routes that follow."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from nbhub.core.model import Route
from nbhub.errors import ConfigError
from nbhub.proxy import Proxy, child
from proxy.edges import HOST, PATIENCE, Upstream, get, make_proxy, started, until
from servers.ports import free_port


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[Upstream]:
    async with Upstream("hub").serving() as upstream:
        yield upstream


@pytest_asyncio.fixture
async def alice() -> AsyncIterator[Upstream]:
    async with Upstream("alice").serving() as upstream:
        yield upstream


async def who(port: int, path: str = "/user/alice/x") -> str | None:
    """Return who answers; None if nobody does."""
    try:
        return (await get(port, path)).who
    except (OSError, asyncio.IncompleteReadError):
        return None


async def test_a_route_comes_and_goes(tmp_path: Path, hub: Upstream, alice: Upstream) -> None:
    proxy = make_proxy(tmp_path, hub)
    async with started(proxy) as port:
        assert await who(port) == "hub"
        assert await proxy.update([alice.route("/user/alice/")]) is True
        assert await who(port) == "alice"
        assert await proxy.update([alice.route("/user/alice/")]) is False
        assert await proxy.update([]) is True
        assert await who(port) == "hub"
    assert await who(port) is None
    assert proxy.pid is None


async def test_a_thousand_routes_are_in_force_once_update_returns(
    tmp_path: Path, hub: Upstream, alice: Upstream
) -> None:
    others = [Route(f"/user/u{n}/", f"http://10.0.0.{n % 250}:8888") for n in range(1000)]
    proxy = make_proxy(tmp_path, hub)
    async with started(proxy) as port:
        await proxy.update(others)
        assert await who(port) == "hub"
        await proxy.update([*others, alice.route("/user/alice/")])
        assert await who(port) == "alice"
        assert proxy.meters.registry.get_sample_value("nbhub_proxy_routes") == 1001


async def test_below_a_base_url(tmp_path: Path, hub: Upstream, alice: Upstream) -> None:
    proxy = make_proxy(tmp_path, hub, base_url="/jupyter/")
    async with started(proxy) as port:
        await proxy.update([alice.route("/jupyter/user/alice/")])
        assert await who(port, "/jupyter/user/alice/x") == "alice"
        assert await who(port, "/user/alice/x") == "hub"
        assert (await get(port, "/jupyter/user/alice;x/")).status == 400
        assert await who(port, "/jupyter/hub/a;b") == "hub"


async def test_behind_a_trusted_proxy_its_word_counts(tmp_path: Path, hub: Upstream) -> None:
    async with started(make_proxy(tmp_path, hub, trusted_hops=1)) as port:
        said = ["X-Forwarded-For: 8.8.8.8", "X-Forwarded-Proto: https", "X-Forwarded-Host: hub.org"]
        seen = (await get(port, "/hub/", *said, "X-Forwarded-Port: 443")).seen_headers
    assert seen["x-forwarded-for"].startswith("8.8.8.8,")
    assert seen["x-nbhub-client"] == "8.8.8.8"
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"], seen["x-forwarded-port"]) == (
        "https",
        "hub.org",
        "443",
    )


async def test_ipv6(tmp_path: Path, hub: Upstream) -> None:
    async with started(make_proxy(tmp_path, hub, ip="::1")) as port:
        _, writer = await asyncio.open_connection("::1", port)
        writer.close()


async def test_envoy_keeps_serving_its_routes_alone(tmp_path: Path, hub: Upstream, alice: Upstream) -> None:
    """With no hub anywhere, an Envoy started from the files knows every route."""
    proxy = make_proxy(tmp_path, hub)
    async with started(proxy):
        await proxy.update([alice.route("/user/alice/")])
    command = child.Command(proxy.command_line(), tmp_path / "alone.log")
    alone, process = child.spawn(command, "")
    try:
        await until(lambda: _is(proxy.port, "alice"), "the route is known")
    finally:
        await child.end(alone, grace=2)
        process.wait(PATIENCE)


async def test_a_killed_envoy_is_started_again_with_its_routes(tmp_path: Path, hub: Upstream, alice: Upstream) -> None:
    proxy = make_proxy(tmp_path, hub)
    async with started(proxy) as port:
        await proxy.update([alice.route("/user/alice/")])
        supervising = asyncio.create_task(proxy.supervise())
        for _ in range(2):
            killed = proxy.pid
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            await until(lambda killed=killed: proxy.pid not in (None, killed), "another Envoy")
            await until(lambda: _is(port, "alice"), "the route is back")
        assert proxy.meters.registry.get_sample_value("nbhub_proxy_restarts_total") == 2
        supervising.cancel()


HUB = """
import asyncio, sys
from pathlib import Path
from nbhub.core.model import Route
from nbhub.proxy import Proxy
async def main(folder, port, hub, target):
    proxy = Proxy(ip="127.0.0.1", port=int(port), base_url="/", hub_target=hub, run_dir=Path(folder), stop_timeout=2)
    await proxy.start()
    await proxy.update([Route("/user/alice/", target)])
    print(proxy.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main(*sys.argv[1:]))
"""


async def killed_hub(proxy: Proxy, alice: Upstream) -> int:
    """Run a hub of its own process with the settings of `proxy`, kill it, and return the pid of its Envoy."""
    arguments = [str(proxy.place.folder), str(proxy.port), proxy.hub_target, alice.target]
    source = str(Path(__file__).parents[2] / "src")
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", HUB, *arguments],
        env={**os.environ, "PYTHONPATH": source},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    pid = int(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    return pid


async def test_the_next_hub_adopts_envoy_after_a_kill(tmp_path: Path, hub: Upstream, alice: Upstream) -> None:
    proxy = make_proxy(tmp_path, hub)
    orphan = await killed_hub(proxy, alice)
    assert await who(proxy.port) == "alice"
    async with started(proxy) as port:
        assert proxy.pid == orphan
        assert await who(port) == "alice"
        await proxy.update([])
        assert await who(port) == "hub"
        supervising = asyncio.create_task(proxy.supervise())
        os.kill(orphan, signal.SIGKILL)
        await until(lambda: proxy.pid not in (None, orphan), "an Envoy of our own")
        supervising.cancel()
    assert child.start_time(orphan) is None
    assert await who(port) is None


async def test_an_envoy_that_was_never_written_down_is_replaced(tmp_path: Path, hub: Upstream, alice: Upstream) -> None:
    proxy = make_proxy(tmp_path, hub)
    orphan = await killed_hub(proxy, alice)
    proxy.place.child.unlink()
    async with started(proxy) as port:
        assert proxy.pid != orphan
        assert child.start_time(orphan) is None
        assert await who(port) == "hub"


async def test_an_envoy_with_other_settings_is_replaced(tmp_path: Path, hub: Upstream, alice: Upstream) -> None:
    proxy = make_proxy(tmp_path, hub, max_headers=77)
    orphan = await killed_hub(proxy, alice)
    async with started(proxy) as port:
        assert proxy.pid != orphan
        assert child.start_time(orphan) is None
        assert await who(port) == "hub", "addresses known to the earlier one may be anybody's by now"


async def test_a_hub_that_leaves_is_followed_by_one_that_adopts(tmp_path: Path, hub: Upstream) -> None:
    first = make_proxy(tmp_path, hub)
    await first.start()
    pid = first.pid
    second = make_proxy(tmp_path, hub, port=first.port)
    with pytest.raises(ConfigError, match="Another hub uses the proxy's folder"):
        await second.start()
    await first.leave()
    async with started(second):
        assert second.pid == pid


async def test_a_pid_that_is_another_process_by_now_is_left_alone(tmp_path: Path, hub: Upstream) -> None:
    innocent = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        proxy = make_proxy(tmp_path, hub)
        proxy.place.prepare()
        child.save(child.Child(innocent.pid, "1", child.boot_id(), "x"), proxy.place.child)
        async with started(proxy):
            assert proxy.pid != innocent.pid
        assert innocent.returncode is None
        assert child.start_time(innocent.pid) is not None
    finally:
        innocent.kill()
        await innocent.wait()


async def test_envoy_is_a_session_of_its_own_with_nothing_of_our_environment(
    tmp_path: Path, hub: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBHUB_SECRET", "hush")
    proxy = make_proxy(tmp_path, hub)
    async with started(proxy):
        assert proxy.pid is not None
        assert os.getsid(proxy.pid) == proxy.pid
        assert "NBHUB_SECRET" not in psutil.Process(proxy.pid).environ()


async def test_the_administration_is_private(tmp_path: Path, hub: Upstream) -> None:
    proxy = make_proxy(tmp_path / "proxy", hub)
    async with started(proxy) as port:
        assert stat.S_IMODE(proxy.place.admin.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(proxy.place.admin.stat().st_mode) & 0o077 == 0
        assert proxy.pid is not None
        listening = psutil.Process(proxy.pid).net_connections("tcp")
        assert {c.laddr.port for c in listening if c.status == psutil.CONN_LISTEN} == {port}
        assert await who(port, "/stats") == "hub"
        # Nobody gets there by way of a route either: targets are addresses with a port.
        await proxy.update([Route("/user/evil/", f"http://{proxy.place.admin}")])
        assert await who(port, "/user/evil/") == "hub"


async def test_a_folder_with_a_long_path(tmp_path: Path, hub: Upstream) -> None:
    proxy = make_proxy(tmp_path / ("x" * 120), hub)
    async with started(proxy) as port:
        assert await who(port) == "hub"
        assert stat.S_IMODE(proxy.place.admin.parent.stat().st_mode) == 0o700
    proxy.place.admin.unlink(missing_ok=True)
    proxy.place.admin.parent.rmdir()


async def test_idle_envoy_is_small(tmp_path: Path, hub: Upstream) -> None:
    proxy = make_proxy(tmp_path, hub)
    async with started(proxy):
        memory = psutil.Process(proxy.pid).memory_info()
        # Most of it is the program itself, which all Envoys of a machine share.
        assert memory.rss < 80 * 1024**2
        assert memory.rss - memory.shared < 32 * 1024**2


async def test_port_in_use(tmp_path: Path, hub: Upstream) -> None:
    proxy = make_proxy(tmp_path, hub, port=hub.port)
    with pytest.raises(ConfigError, match=rf"{HOST}:{hub.port} is in use by another program"):
        await proxy.start()
    assert proxy.pid is None


async def test_port_of_another_proxy(tmp_path: Path, hub: Upstream) -> None:
    async with started(make_proxy(tmp_path / "one", hub)) as port:
        with pytest.raises(ConfigError, match="in use by another program"):
            await make_proxy(tmp_path / "two", hub, port=port).start()


async def test_address_of_another_machine(tmp_path: Path, hub: Upstream) -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.77:\d+ is not one of this machine"):
        await make_proxy(tmp_path, hub, ip="192.0.2.77").start()
    with pytest.raises(ConfigError, match="neither an IP address nor a known name"):
        await make_proxy(tmp_path, hub, ip="no-such-host.invalid").start()


async def test_refused_configuration_is_told_in_envoys_words(tmp_path: Path, hub: Upstream) -> None:
    with pytest.raises(
        ConfigError, match=r"(?s)ended with status 1: .*MaxRequestHeadersKb: value must be inside range.*envoy\.log"
    ):
        await make_proxy(tmp_path, hub, max_header_size=100 * 1024**2).start()


async def test_missing_program(tmp_path: Path, hub: Upstream) -> None:
    with pytest.raises(ConfigError, match=r"Envoy is missing: there is no file /no/envoy\. Correct Proxy\.command"):
        await make_proxy(tmp_path, hub, command="/no/envoy").start()
    (tmp_path / "envoy").write_text("")
    with pytest.raises(ConfigError, match="not executable"):
        await make_proxy(tmp_path, hub, command=str(tmp_path / "envoy")).start()
    (tmp_path / "envoy").chmod(0o755)
    with pytest.raises(ConfigError, match=r"cannot be started: .*Check Proxy\.command"):
        await make_proxy(tmp_path, hub, command=str(tmp_path / "envoy")).start()


async def test_a_folder_that_cannot_be_used(tmp_path: Path, hub: Upstream) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        await make_proxy(tmp_path / "file" / "proxy", hub).start()


async def _is(port: int, name: str) -> bool:
    return await who(port) == name


def test_free_ports_are_free() -> None:
    assert free_port() != free_port()
