"""What `nbhub kubernetes init` writes, and that the folder of the repository is the same."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from nbhub.cli import main
from nbhub.deploy import choices, manifests
from nbhub.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "kubernetes"


def files_of(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def init(folder: Path, *options: str) -> int:
    return main(["kubernetes", "init", str(folder), "--yes", *options])


def test_the_folder_of_the_repository_is_what_the_command_writes():
    assert files_of(EXAMPLE) == manifests.render(choices.chosen({"host": "hub.example.org"})), "run: make docs"


def test_every_file_is_yaml_or_python_that_can_be_read(tmp_path):
    assert init(tmp_path / "hub", "--host=hub.example.org", "--storage-class=fast", "--ingress-class=nginx") == 0
    for path, text in files_of(tmp_path / "hub").items():
        if path.endswith(".yaml"):
            assert all(yaml.safe_load_all(text)), path
        elif path.endswith(".py"):
            compile(text, path, "exec")


def test_what_is_chosen_stands_in_the_files(tmp_path):
    options = [
        "--namespace=science",
        "--host=hub.science.example.org",
        "--ingress-class=nginx",
        "--tls-secret=cert",
        "--authenticator=github",
        "--storage-class=fast",
        "--image=registry.example.org:5000/hub@sha256:" + "a" * 64,
        "--notebook-image=registry.example.org/notebook:7",
        "--database=postgresql://nbhub:s3cret@db/nbhub",
    ]
    assert init(tmp_path, *options) == 0
    files = files_of(tmp_path)
    single = yaml.safe_load(files["single/kustomization.yaml"])
    assert single["images"] == [
        {"name": "nbhub", "newName": "registry.example.org:5000/hub", "digest": "sha256:" + "a" * 64}
    ]
    base = yaml.safe_load(files["base/kustomization.yaml"])
    assert (base["namespace"], "ingress.yaml" in base["resources"]) == ("science", True)
    [ingress] = yaml.safe_load_all(files["base/ingress.yaml"])
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"hosts": ["hub.science.example.org"], "secretName": "cert"}]
    settings = files["base/nbhub_config.py"]
    assert 'c.Hub.public_url = "https://hub.science.example.org/"' in settings
    assert 'c.Hub.authenticator_class = "github"' in settings
    assert 'c.KubeSpawner.image = "registry.example.org/notebook:7"' in settings
    assert yaml.safe_load(files["base/volume.yaml"])["spec"]["storageClassName"] == "fast"
    secret = yaml.safe_load(files["secret.yaml"])
    assert secret["stringData"]["database-url"] == "postgresql://nbhub:s3cret@db/nbhub"
    others = {path: text for path, text in files.items() if path != "secret.yaml"}
    assert not [path for path, text in others.items() if "s3cret" in text], "the password is in the Secret alone"


def test_words_that_look_like_numbers_or_truths_stay_words(tmp_path):
    files = manifests.render(
        choices.chosen({"namespace": "123", "storage_class": "on"}), manifests.Secrets("12e4" * 16, "0" * 64)
    )
    assert yaml.safe_load(files["base/kustomization.yaml"])["namespace"] == "123"
    assert yaml.safe_load(files["base/volume.yaml"])["spec"]["storageClassName"] == "on"
    assert yaml.safe_load(files["secret.yaml"])["stringData"] == {
        "cookie-secret": "12e4" * 16,
        "proxy-token": "0" * 64,
    }


def test_the_secret_is_private_new_and_kept(tmp_path):
    assert init(tmp_path / "one") == init(tmp_path / "two") == 0
    secret = tmp_path / "one" / "secret.yaml"
    made = secret.read_text()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(bytes.fromhex(yaml.safe_load(made)["stringData"]["cookie-secret"])) == 32
    assert made != (tmp_path / "two" / "secret.yaml").read_text()
    assert "secret.yaml" in (tmp_path / "one" / ".gitignore").read_text()
    assert init(tmp_path / "one", "--host=hub.example.org", "--force") == 0
    assert secret.read_text() == made


def test_what_the_kept_secret_does_not_have_is_told(tmp_path, capsys):
    folder, database = tmp_path / "hub", "--database=postgresql://nbhub:word@db/nbhub"
    assert init(folder, "--namespace=one") == 0
    capsys.readouterr()
    assert init(folder, "--namespace=other", database, "--force") == 0
    said = capsys.readouterr().out
    assert f"{folder / 'secret.yaml'} was kept and is of the namespace one: write other there" in said
    assert "enter the database's address there (database-url)" in said
    assert "word" not in said
    (folder / "secret.yaml").unlink()
    assert init(folder, "--namespace=other", database) == 0
    capsys.readouterr()
    assert init(folder, "--namespace=other", database) == 0
    assert "was kept" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("authenticator", "words"),
    [("native", "nbhub invite ada --admin"), ("github", "Enter what github needs in base/nbhub_config.py")],
)
def test_the_next_steps_lead_to_the_first_log_in(tmp_path, capsys, authenticator, words):
    assert init(tmp_path / "hub", f"--authenticator={authenticator}") == 0
    assert words in capsys.readouterr().out


def test_what_somebody_changed_is_not_replaced(tmp_path, capsys):
    assert init(tmp_path) == 0
    before = files_of(tmp_path)
    changed = tmp_path / "base" / "nbhub_config.py"
    changed.write_text("# mine\n")
    (tmp_path / "base" / "rights.yaml").unlink()
    assert init(tmp_path) == 2
    assert "base/nbhub_config.py" in capsys.readouterr().err
    assert not (tmp_path / "base" / "rights.yaml").exists(), "all or nothing"
    assert init(tmp_path, "--force") == 0
    assert files_of(tmp_path) == before


def test_a_second_time_with_the_same_choices_changes_nothing(tmp_path, capsys):
    assert init(tmp_path) == 0
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert init(tmp_path) == 0
    assert "all files already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert init(tmp_path / "file") == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("namespace", "Has_Capitals"),
        ("namespace", "-x"),
        ("namespace", "a" * 64),
        ("host", "https://hub.example.org"),
        ("host", "hub.example.org: x"),
        ("authenticator", "gihub"),
        ("storage_class", "fast\nevil: true"),
        ("image", "registry.example.org/Hub:1"),
        ("image", "x:1 y"),
        ("notebook_image", '"; import os'),
        ("database", "mysql://x"),
        ("database", "postgresql://a b"),
        ("ingress_class", "{x}"),
        ("tls_secret", ""),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(name, value):
    with pytest.raises(ConfigError) as refusal:
        choices.chosen({name: value})
    assert name.replace("_", "-") in refusal.value.message


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("nbhub", ("nbhub", "", "")),
        ("nbhub:1.2", ("nbhub", "1.2", "")),
        ("10.0.0.1:5000/team/nbhub:dev", ("10.0.0.1:5000/team/nbhub", "dev", "")),
        ("r.example.org/a-b/c__d@sha256:" + "0" * 64, ("r.example.org/a-b/c__d", "", "sha256:" + "0" * 64)),
    ],
)
def test_images_are_taken_apart(reference, parts):
    choices.check("image", reference)
    assert choices.image(reference) == choices.Image(*parts)
