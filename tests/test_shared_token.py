"""The secret between hub and proxies: where it is looked for, and what is said of one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbhub import shared_token
from nbhub.errors import ConfigError

ONE, TWO = "1" * 32, "2" * 40


def test_file_then_variable_then_data_folder(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text(f"{ONE}\n{TWO}\n")
    environment = {shared_token.VARIABLE: TWO}
    assert shared_token.find(str(given), tmp_path, environment, make=True) == (ONE, TWO)
    assert shared_token.find("", tmp_path, environment, make=True) == (TWO,)
    assert shared_token.find("", tmp_path, {}, make=False) == ()
    (made,) = shared_token.find("", tmp_path, {}, make=True)
    assert shared_token.find("", tmp_path, {}, make=False) == (made,)
    assert (tmp_path / shared_token.FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "short", "x" * 31, "é" * 40])
def test_what_is_no_token_is_refused(tmp_path: Path, content: str) -> None:
    given = tmp_path / "given"
    given.write_text(content)
    with pytest.raises(ConfigError, match="at least 32 ASCII characters"):
        shared_token.find(str(given), tmp_path, {}, make=True)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gone cannot be read"):
        shared_token.find(str(tmp_path / "gone"), tmp_path, {}, make=True)
