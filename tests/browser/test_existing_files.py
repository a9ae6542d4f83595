"""Files as people have them for JupyterHub, each started unchanged as a whole hub, and its log-in seen in Chromium.

On the command line stands only what another machine would need as well: ports, places of keys and of other servers.
"""

from __future__ import annotations

import contextlib
import grp
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from browser.existing import started
from browser.visits import Complaints, log_in, pictures
from servers import openid_provider, openldap
from servers.hub import SMALL_SERVER, HubProcess, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("system-accounts"),  # one of the files is about accounts of the machine
]

PASSWORD = "pässword of the account"


def small_servers(folder: Path, python: str = sys.executable) -> list[str]:
    """Return the options that start small servers instead of notebook servers."""
    return [f"--Spawner.cmd={word}" for word in (python, "-I", "-S", str(SMALL_SERVER), str(folder / "starts.log"))]


def environment_of(home: str) -> dict[str, str]:
    """Return the environment of the server whose HOME is this; empty when there is none."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            raw = (process / "environ").read_bytes()
            found = dict(line.split("=", 1) for line in os.fsdecode(raw).split("\0") if "=" in line)
            if found.get("HOME") == home and "JUPYTERHUB_USER" in found:
                return found
    return {}


async def test_any_name_and_one_password(
    folder: Path, browser: Browser, complaints: Complaints, tmp_path: Path
) -> None:
    camera = pictures("files/local_dummy", tmp_path / "pictures")
    homes = f"--SimpleLocalProcessSpawner.home_dir_template={folder}/homes/{{username}}"
    options = [*small_servers(folder), homes]
    async with started(
        "local_dummy", HubProcess(folder / "dummy"), browser, complaints, *options, prefix="/trial"
    ) as files:
        page = await files.visitor()
        await log_in(page, "Ada", "let me in, please")
        await expect(page.get_by_role("alert")).to_have_text("Name and password do not belong together.")
        await camera.examine(page, "refused")
        await log_in(page, "Ada", "let me in please")
        # As in many tutorials, the label of the file's form belongs to no field.
        await page.locator("select[name=size]").select_option("large")
        await camera.take(page, "options")
        await page.get_by_role("button", name="Start", exact=True).click()
        await files.serves(page, "ada")
        assert environment_of(f"{folder}/homes/ada")["CPU_LIMIT"] == "2.0"
        await expect(page.get_by_role("link", name="Administration")).to_be_visible()
        await camera.examine(page, "home")


@pytest.fixture
def accounts() -> Iterator[dict[str, str]]:
    """Two system accounts by their group: one of staff, one of nobody's."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("needs root and useradd")
    if not Path("/etc/pam.d/login").exists():
        pytest.skip("this machine has no PAM service login")
    made = [group for group in ("staff", "students") if not _is_there(group)]
    for group in made:
        subprocess.run(["groupadd", group], check=True)
    names = {group: f"nbt{secrets.token_hex(4)}" for group in ("staff", "nobody")}
    for group, name in names.items():
        subprocess.run(["useradd", "-m", *(["-G", "staff"] if group == "staff" else []), name], check=True)
        subprocess.run(["chpasswd"], input=f"{name}:{PASSWORD}".encode(), check=True)
    yield names
    for name in names.values():
        subprocess.run(["userdel", "-r", name], check=False, capture_output=True)
    for group in made:
        subprocess.run(["groupdel", group], check=False)


def program_for_all(folder: Path) -> list[str]:
    """Return the command of a small server that every account of the machine can read."""
    public = folder / "public"
    public.mkdir()
    shutil.copy(SMALL_SERVER, public)
    (public / "starts.log").touch()
    (public / "starts.log").chmod(0o666)
    folder.chmod(0o755)
    return ["/usr/bin/python3", "-I", "-S", str(public / SMALL_SERVER.name), str(public / "starts.log")]


def owner_of(place: str) -> str:
    """Return the name of the account that a file or folder belongs to."""
    return Path(place).owner()


def _is_there(group: str) -> bool:
    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True


async def test_accounts_of_the_machine_and_their_groups(
    folder: Path, browser: Browser, complaints: Complaints, tmp_path: Path, accounts: dict[str, str]
) -> None:
    camera = pictures("files/pam_groups", tmp_path / "pictures")
    options = [f"--Spawner.cmd={word}" for word in program_for_all(folder)]
    async with started("pam_groups", HubProcess(folder / "pam"), browser, complaints, *options) as files:
        page = await files.visitor()
        await log_in(page, accounts["nobody"], PASSWORD)
        await expect(page.get_by_role("alert")).to_contain_text("may not enter this hub")
        name = accounts["staff"]
        await log_in(page, name, PASSWORD)
        await files.serves(page, name)
        environment = environment_of(f"/home/{name}")
        assert environment["JUPYTERHUB_ROOT_DIR"] == "~/work"
        assert owner_of(f"/home/{name}/work") == name  # the file's hook made it
        await expect(page.get_by_role("link", name="Administration")).to_be_visible()  # staff administers
        await camera.examine(page, "home")


async def test_the_organisations_provider_with_groups_of_administrators(
    folder: Path, browser: Browser, complaints: Complaints, tmp_path: Path
) -> None:
    if not openid_provider.available():
        pytest.skip("needs node and npm")
    camera = pictures("files/oauth_admin_groups", tmp_path / "pictures")
    hub = HubProcess(folder / "oauth")
    back, place = f"{hub.url}/hub/oauth_callback", "/protocol/openid-connect"
    homes = f"--SimpleLocalProcessSpawner.home_dir_template={folder}/homes/{{username}}"
    options = [*small_servers(folder), homes, f"--GenericOAuthenticator.oauth_callback_url={back}"]
    goodbye = f"{hub.url}/hub/login?said=out"
    with openid_provider.running(back, goodbye, "client_secret_post", place) as provider:
        hub.env |= {"PROVIDER": provider, "CLIENT_ID": "nbhub", "CLIENT_SECRET": "secret of nbhub"}
        async with started("oauth_admin_groups", hub, browser, complaints, *options) as files:
            for name, administers in (("lab-member", False), ("lab-admin", True)):
                page = await files.visitor()  # auto_login: straight to the provider
                await at_the_provider(page, provider, name)
                await files.serves(page, name)
                await expect(page.get_by_role("link", name="Administration")).to_have_count(int(administers))
                await camera.take(page, f"home-of-{name}")
                assert environment_of(f"{folder}/homes/{name}")["ACCESS_TOKEN"]  # auth_state_hook
            outside = await files.visitor()
            await at_the_provider(outside, provider, "stranger")
            await expect(outside.get_by_role("alert")).to_contain_text("stranger may not enter this hub")
            await expect(outside.get_by_role("link", name="Log in with Lab account")).to_be_visible()
            await camera.examine(outside, "refused")


async def at_the_provider(page: Page, provider: str, name: str) -> None:
    """Log in at the provider's own pages, and agree to what it tells the hub."""
    await page.wait_for_url(f"{provider}/interaction/**")
    await page.locator("input[name=login]").fill(name)
    await page.locator("input[name=password]").fill("any")
    await page.get_by_role("button", name="Sign-in").click()
    await page.get_by_role("button", name="Continue").click()


async def test_the_organisations_directory(
    folder: Path, browser: Browser, complaints: Complaints, tmp_path: Path
) -> None:
    if not openldap.available():
        pytest.skip("slapd is not installed: apt-get install slapd")
    camera = pictures("files/ldap", tmp_path / "pictures")
    logo = tmp_path / "logo.png"
    picture(logo)
    with openldap.running() as directory:
        key = directory.certificate.with_name("key.pem")
        options = [
            *small_servers(folder),
            f"--SimpleLocalProcessSpawner.home_dir_template={folder}/homes/{{username}}",
            "--LDAPAuthenticator.server_address=127.0.0.1",
            f"--LDAPAuthenticator.server_port={directory.port}",
            f"--LDAPAuthenticator.tls_kwargs={{'ca_certs_file': '{directory.certificate}'}}",
            f"--ssl-cert={directory.certificate}",
            f"--ssl-key={key}",
            f"--JupyterHub.logo_file={logo}",
        ]
        hub = HubProcess(folder / "ldap")
        hub.url = hub.url.replace("http:", "https:")
        async with started("ldap", hub, browser, complaints, *options) as files:
            page = await files.visitor()
            assert page.url.startswith("https://")
            await log_in(page, "bob", openldap.PASSWORD)
            await expect(page.get_by_role("alert")).to_contain_text("bob may not enter this hub")
            await log_in(page, "*", openldap.PASSWORD)
            await expect(page.get_by_role("alert")).to_be_visible()
            await camera.examine(page, "refused")
            await log_in(page, "ann", openldap.PASSWORD)
            await files.serves(page, "ann")
            await camera.examine(page, "home")


def picture(path: Path) -> None:
    """Write a picture of one point, as a PNG."""
    path.write_bytes(
        bytes.fromhex(
            "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364f80f000105010127"
            "18e3660000000049454e44ae426082"
        )
    )


async def test_services_roles_and_a_culler(
    folder: Path, browser: Browser, complaints: Complaints, tmp_path: Path
) -> None:
    camera = pictures("files/services_culler", tmp_path / "pictures")
    homes = f"--SimpleLocalProcessSpawner.home_dir_template={folder}/homes/{{username}}"
    async with started(
        "services_culler", HubProcess(folder / "services"), browser, complaints, *small_servers(folder), homes
    ) as files:
        culler = files.hub.data_dir / "services" / "logs" / "service.idle-culler.log"
        await until(lambda: "service=idle-culler launched" in files.hub.text(), "the culler runs")
        student = await files.visitor()
        await student.get_by_label("Name", exact=True).fill("mallory")
        await student.get_by_role("button", name="Log in").click()
        await expect(student.get_by_role("alert")).to_contain_text("mallory may not enter this hub")
        await student.get_by_label("Name", exact=True).fill("student1")
        await student.get_by_role("button", name="Log in").click()
        await files.serves(student, "student1")
        await expect(student.get_by_role("link", name="Administration")).to_have_count(0)
        teacher = await files.visitor()
        await teacher.get_by_label("Name", exact=True).fill("teacher")
        await teacher.get_by_role("button", name="Log in").click()
        await files.serves(teacher, "teacher")
        await teacher.goto("/hub/admin?q=student1")
        await expect(teacher.get_by_role("group", name="Server of student1").get_by_text("Running")).to_be_visible()
        await camera.examine(teacher, "administration")
        await until(
            lambda: culler.exists() and "ERROR" not in culler.read_text(), "the culler has nothing to complain of"
        )
