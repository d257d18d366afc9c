"""How fast work goes on, told from notes of what is done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spherovem_core.utils.pace import Pace, describe_pace, readable_rate, readable_seconds


def test_a_steady_rate_tells_the_time_left() -> None:
    pace = Pace()
    for second in range(11):
        pace.note(3 * second, 300, 100.0 + second)
    assert pace.rate_per_s == pytest.approx(3)
    assert pace.left_s == pytest.approx(90)
    assert describe_pace(pace) == "30 of 300, 3/s, 1 min 30 s left"


def test_the_rate_is_that_of_the_last_minute() -> None:
    pace = Pace(window_s=60)
    for second in range(0, 600, 10):
        pace.note(second, 10_000, second)
    for second in range(600, 700, 10):
        pace.note(600 + 5 * (second - 600), 10_000, second)
    assert pace.rate_per_s == pytest.approx(5)


def test_there_is_no_rate_without_progress() -> None:
    pace = Pace()
    assert (pace.rate_per_s, pace.left_s) == (None, None)
    pace.note(5, 10, 1.0)
    pace.note(5, 10, 2.0)
    assert (pace.rate_per_s, pace.left_s) == (None, None)
    assert describe_pace(pace) == "5 of 10"


@pytest.mark.parametrize(("done", "total"), [(1, 100), (101, 500)])
def test_a_new_phase_begins_anew(done: int, total: int) -> None:
    """A step back, or another total: what was done before says nothing about it."""
    pace = Pace()
    pace.note(0, 100, 0.0)
    pace.note(100, 100, 1.0)
    pace.note(done, total, 2.0)
    assert pace.rate_per_s is None
    pace.note(done + 1, total, 4.0)
    assert pace.rate_per_s == pytest.approx(0.5)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0.01, 100)), min_size=2, max_size=40))
def test_the_time_left_is_never_negative(steps: list[tuple[int, float]]) -> None:
    pace, done, now = Pace(), 0, 0.0
    for step, wait in steps:
        done, now = done + step, now + wait
        pace.note(done, 2000, now)
        assert pace.left_s is None or pace.left_s >= 0
        assert pace.rate_per_s is None or pace.rate_per_s > 0


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (250.4, "250/s"),
        (3.14, "3.1/s"),
        (0.5, "30/min"),
        (1 / 60, "1/min"),
        (0.001, "3.6/h"),
        (1e-5, "0.036/h"),
    ],
)
def test_readable_rate(rate: float, text: str) -> None:
    assert readable_rate(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3661, "1 h 01 min"),
    ],
)
def test_readable_seconds(seconds: float, text: str) -> None:
    assert readable_seconds(seconds) == text
