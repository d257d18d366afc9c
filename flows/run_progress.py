"""Progress of a whole run in the Prefect UI, from its first step on: the step at work, and the time left by the forecast."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from spherovem_core.forecast import Forecast
from spherovem_core.store.files import write_json
from spherovem_core.utils.progress_rate import readable_seconds
from tasks.artifacts import publish


class RunProgress:
    """A progress artifact of a run, and a note of its expected end beside its results, for `spherovem status`.

    Time left is that of the forecast for the steps to come; where these steps took longer or shorter so far, it is corrected in
    proportion.

    Parameters
    ----------
    name
        Name of the acquisition.
    forecast
        Seconds of the steps to compute.
    note
        File to write the expected end to (`Layout.expected_end`); that of an earlier run goes. None writes none.
    """

    def __init__(self, name: str, forecast: Forecast, note: Path | None = None) -> None:
        self._name = name
        self._note = note
        if note is not None:
            note.unlink(missing_ok=True)
        self._expected = {row.title: row.seconds for row in forecast.rows}
        self._taken: dict[str, float] = {}
        self._artifact: UUID | None = None

    def begin(self, title: str) -> None:
        """Show the step that begins; one that is complete on disk is not shown."""
        if title in self._expected and title not in self._taken:
            publish(self._send, self.percent, self.describe(title))
            self._write_note(title)

    def end(self, title: str, seconds: float) -> None:
        """Note the seconds of a step."""
        if title in self._expected:
            self._taken[title] = seconds
        if self._expected and len(self._taken) == len(self._expected):
            publish(self._send, 100.0, f"{self._name}: all {len(self._taken)} steps computed")

    @property
    def percent(self) -> float:
        """Percentage of the expected time of all steps that the finished ones stand for."""
        total = sum(seconds or 0.0 for seconds in self._expected.values())
        done = sum(self._expected[title] or 0.0 for title in self._taken)
        return 100.0 * done / total if total else 100.0 * len(self._taken) / max(len(self._expected), 1)

    @property
    def remaining_s(self) -> float | None:
        """Seconds of the steps to come, the one at work included; None where nothing like one of them was ever measured."""
        left = [seconds for title, seconds in self._expected.items() if title not in self._taken]
        if any(seconds is None for seconds in left):
            return None
        known = [title for title in self._taken if self._expected[title]]
        expected = sum(self._expected[title] or 0.0 for title in known)
        pace = sum(self._taken[title] for title in known) / expected if expected else 1.0
        return pace * sum(seconds or 0.0 for seconds in left)

    def describe(self, title: str) -> str:
        """Describe the run while a step is at work, such as ``one: flows cells, step 4 of 14, about 12 min 05 s left``."""
        text = f"{self._name}: {title}, step {len(self._taken) + 1} of {len(self._expected)}"
        left = self.remaining_s
        return (
            f"{text}, time left not known yet"
            if left is None
            else f"{text}, about {readable_seconds(left)} left"
        )

    def _write_note(self, title: str) -> None:
        if self._note is not None:
            left = self.remaining_s
            end = None if left is None else datetime.now().astimezone() + timedelta(seconds=left)
            write_json(
                self._note, {"step": title, "end": None if end is None else end.isoformat(timespec="seconds")}
            )

    def _send(self, percent: float, description: str) -> None:
        from prefect import artifacts

        if self._artifact is None:
            made: Any = artifacts.create_progress_artifact(progress=percent, description=description)
            self._artifact = made
        else:
            artifacts.update_progress_artifact(self._artifact, progress=percent, description=description)
