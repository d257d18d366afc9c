"""Rate and remaining time of work, from records of finished work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spherovem_core.utils.progress_rate import (
    ProgressRate,
    describe_progress,
    readable_rate,
    readable_seconds,
)


def test_steady_rate_gives_the_remaining_time() -> None:
    progress = ProgressRate()
    for second in range(11):
        progress.note(3 * second, 300, 100.0 + second)
    assert progress.rate_per_s == pytest.approx(3)
    assert progress.remaining_s == pytest.approx(90)
    assert describe_progress(progress) == "30 of 300, 3/s, 1 min 30 s left"


def test_rate_is_that_of_the_last_minute() -> None:
    progress = ProgressRate(window_s=60)
    for second in range(0, 600, 10):
        progress.note(second, 10_000, second)
    for second in range(600, 700, 10):
        progress.note(600 + 5 * (second - 600), 10_000, second)
    assert progress.rate_per_s == pytest.approx(5)


def test_no_progress_gives_no_rate() -> None:
    progress = ProgressRate()
    assert (progress.rate_per_s, progress.remaining_s) == (None, None)
    progress.note(5, 10, 1.0)
    progress.note(5, 10, 2.0)
    assert (progress.rate_per_s, progress.remaining_s) == (None, None)
    assert describe_progress(progress) == "5 of 10"


@pytest.mark.parametrize(("done", "total"), [(1, 100), (101, 500)])
def test_step_back_or_other_total_starts_a_new_rate(done: int, total: int) -> None:
    progress = ProgressRate()
    progress.note(0, 100, 0.0)
    progress.note(100, 100, 1.0)
    progress.note(done, total, 2.0)
    assert progress.rate_per_s is None
    progress.note(done + 1, total, 4.0)
    assert progress.rate_per_s == pytest.approx(0.5)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0.01, 100)), min_size=2, max_size=40))
def test_remaining_time_is_never_negative(steps: list[tuple[int, float]]) -> None:
    progress, done, now = ProgressRate(), 0, 0.0
    for step, wait in steps:
        done, now = done + step, now + wait
        progress.note(done, 2000, now)
        assert progress.remaining_s is None or progress.remaining_s >= 0
        assert progress.rate_per_s is None or progress.rate_per_s > 0


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
def test_rate_is_given_per_second_minute_or_hour(rate: float, text: str) -> None:
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
def test_duration_is_given_in_two_units_at_most(seconds: float, text: str) -> None:
    assert readable_seconds(seconds) == text
