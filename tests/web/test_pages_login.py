"""Coming in and going out, as a browser does it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nbhub.authenticators.dummy import DummyAuthenticator
from nbhub.authenticators.native import NativeAuthenticator
from nbhub.authenticators.tmp import TmpAuthenticator
from nbhub.store import users
from page_reader import read, submit

PASSWORD = "correct horse battery"


@pytest.fixture
async def native_hub(hub_with: Callable[..., Any]) -> AsyncIterator[Any]:
    async with hub_with(authenticator=NativeAuthenticator(), redirect_to_server=False) as hub:
        yield hub


async def invited(hub: Any, name: str | None = None, *, admin: bool = False) -> str:
    return str((await hub.desk.authenticator.invite(name, admin=admin, by="root")).code)


async def account(hub: Any, name: str = "ada") -> None:
    await hub.desk.authenticator.accept(await invited(hub), name, PASSWORD, address="203.0.113.7")


async def log_in(hub: Any, name: str = "ada", password: str = PASSWORD, query: str = "") -> tuple[Any, Any]:
    client = hub.client()
    form = read(await client.get(f"/hub/login{query}")).form("/hub/login")
    return client, await submit(client, form, username=name, password=password)


async def test_logging_in_and_out(native_hub: Any) -> None:
    await account(native_hub)
    client, answer = await log_in(native_hub)
    assert (answer.status_code, answer.headers["location"]) == (303, "/hub/home")
    home = read(await client.get("/hub/home"))
    assert "Hello, ada" in home.words
    answer = await submit(client, home.form("/hub/logout"))
    assert answer.headers["location"] == "/hub/login?said=out"
    assert "You are logged out." in read(await client.get(answer.headers["location"])).words
    assert (await client.get("/hub/home")).headers["location"] == "/hub/login?next=%2Fhub%2Fhome"


async def test_a_link_is_enough_to_log_out(native_hub: Any) -> None:
    await account(native_hub)
    client, _ = await log_in(native_hub)
    answer = await client.get("/hub/logout")
    assert (answer.status_code, answer.headers["location"]) == (302, "/hub/login")
    assert (await client.get("/hub/home")).status_code == 302


async def test_logging_out_everywhere(native_hub: Any) -> None:
    await account(native_hub)
    (one, _), (two, _) = await log_in(native_hub), await log_in(native_hub)
    await submit(one, read(await one.get("/hub/home")).form("/hub/logout"))
    assert (await two.get("/hub/home")).status_code == 200
    await submit(two, read(await two.get("/hub/home")).form("/hub/logout"), everywhere="1")
    three, _ = await log_in(native_hub)
    four, _ = await log_in(native_hub)
    await submit(three, read(await three.get("/hub/home")).form("/hub/logout"), everywhere="1")
    assert (await four.get("/hub/home")).status_code == 302


async def test_a_wrong_password_is_told_and_the_name_kept(native_hub: Any) -> None:
    await account(native_hub)
    for name in ("ada", "nobody"):
        client, answer = await log_in(native_hub, name, "wrong password")
        assert answer.status_code == 403
        page = read(answer)
        assert "do not belong together" in page.words
        assert page.form("/hub/login").fields["username"] == name
        assert page.form("/hub/login").fields["password"] == ""
        assert (await client.get("/hub/home")).status_code == 302


async def test_too_many_wrong_passwords(native_hub: Any) -> None:
    await account(native_hub, "grace")
    for _ in range(5):
        await log_in(native_hub, "ada", "wrong password")
    _, answer = await log_in(native_hub, "ada", "wrong password")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert "Try again in" in read(answer).words


@pytest.mark.parametrize("name", ["", "a/b", "..", "a%2fb", "x" * 1000, "\u202e\x00", "<script>alert(1)</script>"])
async def test_odd_names(native_hub: Any, name: str) -> None:
    _, answer = await log_in(native_hub, name)
    assert answer.status_code in (400, 403)
    page = read(answer)
    assert "<script>alert" not in page.source


async def test_without_xsrf_nobody_is_logged_in(native_hub: Any) -> None:
    await account(native_hub)
    client = native_hub.client()
    answer = await client.post("/hub/login", data={"username": "ada", "password": PASSWORD})
    assert answer.status_code == 403
    assert "jupyterhub-hub-login" not in answer.cookies
    forged = {"username": "ada", "password": PASSWORD, "_xsrf": "abc.def"}
    client.cookies.set("_xsrf", "abc.def", domain="hub.test", path="/hub/")
    assert (await client.post("/hub/login", data=forged)).status_code == 403


@pytest.mark.parametrize(
    ("wanted", "led_to"),
    [
        ("/hub/token", "/hub/token"),
        ("/user/ada/lab?x=1", "/user/ada/lab?x=1"),
        ("http://hub.test/hub/token", "/hub/token"),
        ("https://evil.test/", "/hub/home"),
        ("//evil.test/", "/hub/home"),
        ("/\\evil.test/", "/%5Cevil.test/"),
        ("\\\\evil.test/", "/hub/home"),
        ("javascript:alert(1)", "/hub/home"),
        ("hub/token", "/hub/home"),
        ("/hub/token\nSet-Cookie: a=b", "/hub/home"),
    ],
)
async def test_after_log_in_only_places_of_this_hub(native_hub: Any, wanted: str, led_to: str) -> None:
    await account(native_hub)
    client = native_hub.client()
    page = read(await client.get("/hub/login", params={"next": wanted}))
    answer = await submit(client, page.form("/hub/login"), username="ada", password=PASSWORD)
    assert answer.headers["location"] == led_to
    assert (await client.get("/hub/login", params={"next": wanted})).headers["location"] == led_to


async def test_who_may_not_enter_is_told(native_hub: Any) -> None:
    await account(native_hub)
    native_hub.desk.authenticator.blocked_users = {"ada"}
    _, answer = await log_in(native_hub)
    assert answer.status_code == 403
    assert "may not enter this hub" in read(answer).words


async def test_admin_users_become_administrators(native_hub: Any) -> None:
    await account(native_hub)
    native_hub.desk.authenticator.admin_users = {"ada"}
    client, _ = await log_in(native_hub)
    assert (await client.get("/hub/admin")).status_code == 200


# -- choosing a password ---------------------------------------------------------------------------------------------


async def test_the_first_administrator(native_hub: Any) -> None:
    code = await invited(native_hub, admin=True)
    client = native_hub.client()
    page = read(await client.get(f"/hub/signup?code={code}"))
    assert page.has("meta", name="referrer", content="no-referrer")
    assert "administrator" in page.words
    form = page.form("/hub/signup")
    assert code not in form.action
    wrong = await submit(client, form, username="ada", password=PASSWORD, again="another")
    assert wrong.status_code == 400
    assert "not the same" in read(wrong).words
    again = read(wrong).form("/hub/signup")
    assert again.fields["username"] == "ada"
    answer = await submit(client, again, password=PASSWORD, again=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/hub/admin/who")
    assert (await client.get("/hub/admin")).status_code == 200
    used = await native_hub.client().get(f"/hub/signup?code={code}")
    assert used.status_code == 404
    assert "does not work any more" in read(used).words


async def test_looking_at_a_link_does_not_use_it_up(native_hub: Any) -> None:
    code = await invited(native_hub, "ada")
    for _ in range(3):
        page = read(await native_hub.client().get(f"/hub/signup?code={code}"))
    assert "ada" in page.words


async def test_links_that_never_were(native_hub: Any) -> None:
    for page in ("signup", "reset-password"):
        for code in ("nothing", "x" * 5000, "%00", "'"):
            assert (await native_hub.client().get(f"/hub/{page}?code={code}")).status_code == 404
    assert (await native_hub.client().get("/hub/signup")).status_code == 403
    assert (await native_hub.client().get("/hub/reset-password")).status_code == 404


async def test_a_reset_link_logs_in_and_others_out(native_hub: Any) -> None:
    await account(native_hub)
    old, _ = await log_in(native_hub)
    async with native_hub.store.read() as tx:
        ada = await users.get(tx, "ada")
    code = (await native_hub.desk.authenticator.offer_reset(ada, by="root")).code
    client = native_hub.client()
    form = read(await client.get(f"/hub/reset-password?code={code}")).form("/hub/reset-password")
    assert (await submit(client, form, password="short", again="short")).status_code == 400
    answer = await submit(client, form, password="another good one", again="another good one")
    assert answer.headers["location"] == "/hub/home"
    assert (await client.get("/hub/home")).status_code == 200
    assert (await old.get("/hub/home")).status_code == 302


async def test_changing_the_password(native_hub: Any) -> None:
    await account(native_hub)
    (client, _), (other, _) = await log_in(native_hub), await log_in(native_hub)
    form = read(await client.get("/hub/password")).form("/hub/password")
    new = {"password": "another good one", "again": "another good one"}
    wrong = await submit(client, form, current="not it", **new)
    assert (wrong.status_code, "another one" in read(wrong).words) == (403, True)
    answer = await submit(client, form, current=PASSWORD, **new)
    assert answer.headers["location"] == "/hub/home?said=password"
    assert "password is changed" in read(await client.get("/hub/home?said=password")).words
    assert (await other.get("/hub/home")).status_code == 302
    assert (await log_in(native_hub, password="another good one"))[1].status_code == 303


async def test_a_token_cannot_change_the_password(native_hub: Any) -> None:
    client = await native_hub.api("ada")
    assert (await client.get("/hub/password")).status_code == 302
    answer = await client.post("/hub/password", data={"current": "", "password": PASSWORD, "again": PASSWORD})
    assert answer.status_code == 302


async def test_sign_up_where_it_is_open(native_hub: Any) -> None:
    native_hub.desk.authenticator.signup = "open"
    client = native_hub.client()
    assert "Make one" in read(await client.get("/hub/login")).words
    form = read(await client.get("/hub/signup")).form("/hub/signup")
    answer = await submit(client, form, username="eve", password=PASSWORD, again=PASSWORD)
    assert answer.headers["location"] == "/hub/home"
    taken = await submit(native_hub.client(), form, username="eve", password=PASSWORD, again=PASSWORD)
    assert taken.status_code == 403  # another browser's token
    client = native_hub.client()
    form = read(await client.get("/hub/signup")).form("/hub/signup")
    taken = await submit(client, form, username="eve", password=PASSWORD, again=PASSWORD)
    assert (taken.status_code, "is taken" in read(taken).words) == (409, True)


async def test_sign_up_that_needs_approval(native_hub: Any) -> None:
    native_hub.desk.authenticator.signup = "approval"
    client = native_hub.client()
    form = read(await client.get("/hub/signup")).form("/hub/signup")
    answer = await submit(client, form, username="eve", password=PASSWORD, again=PASSWORD)
    assert answer.headers["location"] == "/hub/login?said=waiting"
    assert "once an administrator" in read(await client.get("/hub/login?said=waiting")).words
    _, refused = await log_in(native_hub, "eve")
    assert (refused.status_code, "waiting" in read(refused).words) == (403, True)
    admin = await native_hub.browser("root")
    page = read(await admin.get("/hub/admin"))
    assert "waits to be let in" in page.words
    await submit(admin, page.form("/hub/admin/approve", user="eve"))
    assert (await log_in(native_hub, "eve"))[1].status_code == 303


# -- other sources ---------------------------------------------------------------------------------------------------


async def test_dummy_asks_for_a_name_only(hub_with: Callable[..., Any]) -> None:
    async with hub_with(authenticator=DummyAuthenticator()) as hub:
        client = hub.client()
        page = read(await client.get("/hub/login"))
        assert not page.has("input", name="password")
        answer = await submit(client, page.form("/hub/login"), username="Ada")
        assert answer.headers["location"] == "/hub/spawn"
        for missing in ("signup", "reset-password", "password"):
            assert (await client.get(f"/hub/{missing}")).status_code == 404


async def test_a_trial_session_from_beginning_to_end(hub_with: Callable[..., Any]) -> None:
    async with hub_with(authenticator=TmpAuthenticator(), redirect_to_server=False) as hub:
        client = hub.client()
        page = read(await client.get("/hub/login"))
        assert not page.has("input", name="username")
        assert "Start a trial session" in page.form("/hub/login").buttons
        await submit(client, page.form("/hub/login"))
        home = read(await client.get("/hub/home"))
        assert "Your trial session" in home.words
        async with hub.store.read() as tx:
            (visitor,), _ = await users.list_page(tx)
        assert visitor.temporary
        await submit(client, home.form(f"/hub/spawn/{visitor.name}"))

        async def running() -> bool:
            return bool((await hub.server(visitor.name)).is_ready)

        await hub.until(running)
        await client.get("/hub/logout")

        async def stopped() -> bool:
            return not (await hub.server(visitor.name)).active

        await hub.until(stopped)
        async with hub.store.write() as tx:
            assert await users.delete_abandoned(tx, hub.desk.clock() + 1) == [visitor.name]


async def test_nobody_enters_where_nobody_is_allowed(hub_with: Callable[..., Any]) -> None:
    source = DummyAuthenticator(allow_all=False)
    async with hub_with(authenticator=source) as hub:
        client = hub.client()
        form = read(await client.get("/hub/login")).form("/hub/login")
        assert (await submit(client, form, username="ada")).status_code == 403
        async with hub.store.read() as tx:
            assert await users.count(tx) == 0


async def test_logging_out_stops_servers_where_it_is_set(hub_with: Callable[..., Any]) -> None:
    async with hub_with(shutdown_on_logout=True) as hub:
        client = await hub.browser("ada")
        assert (await (await hub.api("ada")).post("/hub/api/users/ada/server")).status_code == 201
        await client.get("/hub/logout")

        async def stopped() -> bool:
            return not (await hub.server("ada")).active

        await hub.until(stopped)


class WithCode(DummyAuthenticator):
    """Takes the code that ends a password, as a token shows it."""

    takes_otp = True  # type: ignore[assignment]

    async def authenticate_otp(self, username: str, password: str, otp: str, *, address: str) -> Any:
        """See PasswordAuthenticator."""
        return await self.authenticate(username, password, address=address) if otp == "123456" else None


async def test_a_field_for_one_time_passwords(hub_with: Callable[..., Any]) -> None:
    source = WithCode(password="open", request_otp=True)
    async with hub_with(authenticator=source, redirect_to_server=False) as hub:
        client = hub.client()
        page = read(await client.get("/hub/login"))
        assert "OTP" in page.words and "OTP:" not in page.words
        form = page.form("/hub/login")
        refused = await submit(client, form, username="ada", password="open", otp="000000")
        assert refused.status_code == 403
        again = read(refused).form("/hub/login")
        answer = await submit(client, again, username="ada", password="open", otp=" 123456 ")
        assert answer.status_code == 303
        source.otp_prompt = "Code of your <token>"
        assert "Code of your &lt;token&gt;" in (await hub.client().get("/hub/login")).text
    async with hub_with(authenticator=DummyAuthenticator(password="open")) as hub:
        assert 'name="otp"' not in (await hub.client().get("/hub/login")).text
