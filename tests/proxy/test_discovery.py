"""Writing for Envoy, pacing, and reading what it noted."""

from pathlib import Path

from nbhub.proxy import discovery


def test_a_file_is_replaced_and_never_written_in_place(tmp_path: Path) -> None:
    path = tmp_path / "routes.json"
    discovery.write(path, b"one")
    with path.open("rb") as earlier:
        discovery.write(path, b"two")
        assert earlier.read() == b"one"
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_first_change_goes_at_once_and_later_ones_wait_four_times_the_cost() -> None:
    pace = discovery.Pace()
    assert pace.wait(100.0) == 0
    pace.replaced(100.5, cost=0.5)
    assert pace.wait(100.5) == 2.0
    assert pace.wait(102.0) == 0.5
    assert pace.wait(103.0) == 0


def test_pacing_never_takes_more_than_a_fifth() -> None:
    pace, now, busy = discovery.Pace(), 0.0, 0.0
    for cost in (0.4, 0.1, 0.4, 0.3):
        now += pace.wait(now) + cost
        busy += cost
        pace.replaced(now, cost)
    now += pace.wait(now)
    assert busy / now <= 0.2 + 1e-9


def test_one_slow_replacement_does_not_hold_back_for_minutes() -> None:
    pace = discovery.Pace()
    pace.replaced(0.0, cost=100.0)
    assert pace.wait(0.0) == 30.0


def test_lines_are_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "unreachable.log"
    assert discovery.take_lines(path) == []
    path.write_text("127.0.0.1:1\n127.0.0.1:2\n")
    assert discovery.take_lines(path) == ["127.0.0.1:1", "127.0.0.1:2"]
    assert discovery.take_lines(path) == []
