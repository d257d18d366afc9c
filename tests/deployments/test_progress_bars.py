"""A running step is shown as a bar on a terminal and as log lines elsewhere."""

import io
import sys
import threading
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from deployments.command_line.console import console, is_terminal
from deployments.command_line.progress_bars import ProgressBars
from tasks import progress
from tasks.progress import report_progress, shown_on


class Screen(io.StringIO):
    """Terminal that keeps all drawn text."""

    def waits_for(self, text: str) -> None:
        for _ in range(400):
            if text in self.getvalue():
                return
            time.sleep(0.02)
        raise AssertionError(f"{text!r} was not drawn: {self.getvalue()!r}")


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def bars(screen: Screen) -> ProgressBars:
    return ProgressBars(Console(file=screen, force_terminal=True, width=80, no_color=True))


def test_a_bar_shows_title_count_rate_and_time_left(screen: Screen, bars: ProgressBars) -> None:
    with shown_on(bars), report_progress("segment_masks cells") as note:
        screen.waits_for("segment_masks cells")
        note(10, 200)
        screen.waits_for("10/200")
        for done in range(11, 60):
            note(done, 200)
            time.sleep(0.02)
        screen.waits_for(" left")
    drawn = screen.getvalue()
    assert "/s, " in drawn
    assert max(map(len, drawn.replace("\r", "\n").splitlines())) < 120


def test_the_bar_of_a_finished_step_disappears(screen: Screen, bars: ProgressBars) -> None:
    before = set(threading.enumerate())
    with shown_on(bars):
        for title in ("first", "second"):
            with report_progress(title) as note:
                note(1, 2)
                screen.waits_for(title)
    # Only these threads count: libraries that earlier tests used start and end threads of their own meanwhile.
    modules = ("rich.", "tasks.", "deployments.")
    new = [thread for thread in threading.enumerate() if thread not in before]
    ours = [t for t in new if t.name == "progress" or type(t).__module__.startswith(modules)]
    for thread in ours:
        thread.join(5.0)
        assert not thread.is_alive(), thread
    drawn = screen.getvalue()
    assert drawn.endswith("\x1b[2K")
    assert drawn.count("\x1b[?25h") == drawn.count("\x1b[?25l") == 2


def test_bars_disappear_when_a_step_fails(screen: Screen, bars: ProgressBars) -> None:
    with pytest.raises(KeyboardInterrupt), shown_on(bars), report_progress("step"):
        raise KeyboardInterrupt
    assert "\x1b[?25h" in screen.getvalue()
    with report_progress("unseen"):
        pass
    assert "unseen" not in screen.getvalue()


def test_many_steps_at_once_do_not_block_the_drawing(screen: Screen, bars: ProgressBars) -> None:
    """Drawing and the end of a step take two locks in opposite order."""

    def work(number: int) -> None:
        for turn in range(20):
            with report_progress(f"step {number}.{turn}") as note:
                note(turn, 20)

    with shown_on(bars):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)


def run_a_step(finished: Callable[[], bool]) -> None:
    """Run a step until the expected text has been written."""
    with report_progress("step", update_s=0.01) as note:
        for done in range(1, 1000):
            note(done, 1000)
            time.sleep(0.01)
            if finished():
                return


def test_without_a_terminal_log_lines_give_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_S", 0.05)
    shown: list[str] = []

    def finished() -> bool:
        shown.append(capsys.readouterr().out)
        return " left\n" in "".join(shown)

    with console():
        run_a_step(finished)
    text = "".join(shown)
    assert "step: " in text
    assert " of 1000, " in text
    assert "/s, " in text
    assert "\x1b" not in text


def test_on_a_terminal_bars_replace_those_lines(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_S", 0.01)
    monkeypatch.setattr("deployments.command_line.console.is_terminal", lambda: True)
    monkeypatch.setattr(
        "deployments.command_line.progress_bars.get_console",
        lambda: Console(file=screen, force_terminal=True, width=80),
    )
    with console():
        run_a_step(lambda: " left" in screen.getvalue())
    assert " of 1000" not in screen.getvalue()
    assert "/1000" in screen.getvalue()


@pytest.mark.parametrize(
    ("terminal", "kind", "expected"), [(True, "xterm", True), (True, "dumb", False), (False, "xterm", False)]
)
def test_only_a_terminal_with_a_cursor_counts(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, kind: str, expected: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("TERM", kind)
    assert is_terminal() is expected
