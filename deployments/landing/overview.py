"""Overview of what has landed, for the Prefect UI: what is not ready, rejected, valid, and handed over to which run."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from deployments.landing.candidates import printable
from deployments.landing.records import Record
from deployments.landing.rules import LandingRules
from flows.run_links import form_url
from spherovem_core.store import read_json
from spherovem_core.utils.remedies import remedy_first

ROWS = 50
"""Longest table; what waits comes first, and of the others those that landed last."""

PAUSE_S = 10.0
"""Shortest time between two changes of the artifact."""

ORDER = ("settling", "rejected", "valid", "handed over")


class Page(Protocol):
    """Place in the UI that shows the overview."""

    @property
    def ui_url(self) -> str:
        """Address of the UI; empty if it is not known."""

    @property
    def forms(self) -> Mapping[Path, str]:
        """Identifier of the deployment for runs by hand of each landing folder, as far as they are there."""

    def show(self, text: str) -> bool:
        """Show a text in markdown in place of the one before; return whether the server took it."""


class LandingOverview:
    """Overview of the records of one watcher, shown when they have changed.

    Parameters
    ----------
    clock
        Returns seconds, for the pause between two changes.
    """

    def __init__(self, rules: LandingRules, page: Page, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules, self._page, self._clock = rules, page, clock
        self._shown = ""
        self._next_at = 0.0

    def show(self, records: Iterable[Record]) -> None:
        """Show the records, unless they are shown already or were changed a moment ago."""
        if self._clock() < self._next_at:
            return
        text = overview(records, self._rules, self._page.ui_url, self._page.forms)
        if text != self._shown and self._page.show(text):
            self._shown, self._next_at = text, self._clock() + PAUSE_S


def overview(records: Iterable[Record], rules: LandingRules, ui_url: str, forms: Mapping[Path, str]) -> str:
    """Return the records in markdown: a line of counts, and a table."""
    found = [(_state(record), record) for record in records if record.signature]
    found.sort(key=lambda each: (ORDER.index(each[0]), -each[1].since, each[1].name))
    counts = ", ".join(_counts(state for state, _ in found))
    lines = [
        f"Landed for `{rules.results_root}`: {counts or 'nothing'}.",
        "",
        "| acquisition | | state |",
        "|---|---|---|",
    ]
    for state, record in found[:ROWS]:
        links = " ".join(_links(record, state, rules, ui_url, forms))
        lines.append(f"| {_name(record)} | {links} | {state}{_detail(state, record, rules)} |")
    # Cells of the UI's tables do not wrap.
    reasons = [
        f"- {_name(record)}: {_reason(record)}" for state, record in found[:ROWS] if state == "rejected"
    ]
    lines += ["", "Rejected:", "", *reasons] if reasons else []
    if len(found) > ROWS:
        hidden = ", ".join(_counts(state for state, _ in found[ROWS:]))
        lines += [
            "",
            f"Not in this table: {hidden}. `spherovem status` lists all that waits, *Runs* all runs.",
        ]
    return "\n".join(lines)


def _counts(states: Iterable[str]) -> Iterator[str]:
    """Say how many there are in each state."""
    number = Counter(states)
    return (f"{number[name]} {name}" for name in ORDER if number[name])


def _state(record: Record) -> str:
    if record.judged != record.signature or record.again:
        return "settling"
    if record.reported:
        return "rejected"
    return "valid" if record.due is not None else "handed over"


def _detail(state: str, record: Record, rules: LandingRules) -> str:
    if state == "settling":
        again = ", landed again: its old results stay until it is processed" if record.fingerprint else ""
        if rules.sentinel_only:
            return f", waits for the file {_cell(rules.sentinel)}{again}"
        until = datetime.fromtimestamp(record.since + rules.settle_seconds).astimezone()
        return f" until {until:%H:%M:%S} if its files do not change{again}"
    if state == "valid":
        return ": its run is started when the server answers"
    if state == "handed over" and not record.flow_run:
        return ": a copy of another one, not processed again"
    if state == "handed over" and len(record.attempts) > 1:
        return ", landed again: its old results stay until then"
    return ""


def _reason(record: Record) -> str:
    found = read_json(Path(record.rejected_in) / "REJECTED.json") or {}
    return _cell(remedy_first(str(found.get("message", "see REJECTED.json in its results folder"))))


def _name(record: Record) -> str:
    return _cell(printable(record.name))


def _links(
    record: Record, state: str, rules: LandingRules, ui_url: str, forms: Mapping[Path, str]
) -> Iterator[str]:
    if state == "handed over" and record.flow_run:
        yield f"[run]({ui_url}/runs/flow-run/{record.flow_run})"
    form = _form(record, rules, ui_url, forms)
    if form:
        yield form


def _form(record: Record, rules: LandingRules, ui_url: str, forms: Mapping[Path, str]) -> str:
    """Return a link to the form of a run by hand with name, source and place of the results; the rest is the deployment's."""
    deployment = forms.get(Path(record.source).parent) or next(iter(forms.values()), None)
    if deployment is None or not ui_url:
        return ""
    place = {"name": record.name, "source": record.source, "results_root": str(rules.results_root)}
    return f"[form]({form_url(ui_url, deployment, {'acquisition': place})})"


def _cell(text: str) -> str:
    """Return a text as one cell of a table that shows it as it is."""
    safe = "".join(f"\\{letter}" if letter in "\\`*_{}[]#|~<>" else letter for letter in text)
    return " ".join(safe.split())
