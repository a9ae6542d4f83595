"""What an examination says of another clock, which was read while time went on."""

from __future__ import annotations

import pytest

from nbhub.core import findings


@pytest.mark.parametrize(("there", "ahead"), [(100.0, 0.0), (104.0, 0.0), (107.0, 0.0), (110.0, 3.0), (95.0, -5.0)])
def test_a_slow_answer_is_no_wrong_clock(there: float, ahead: float) -> None:
    assert findings.ahead(there, 100.0, 107.0) == ahead
