"""Landing folders with a clock that the test sets, and an announcer that only records its calls."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest_samples import SPACING_NM, textured, truncate, write_slices

from deployments.landing.announcements import HandOverError, NoDeploymentError, ServerUnavailableError
from deployments.landing.records import LandedAcquisition, Rejection
from deployments.landing.rules import LandingRules
from deployments.landing.scanner import Scanner, ScanResult
from deployments.settings import Settings

SETTLE_S = 100.0
SMALL = (3, 12, 16)


def write_acquisition(folder: Path, seed: int = 0) -> Path:
    """Write three small slices and their description."""
    write_slices(folder, textured(SMALL, seed=seed))
    (folder / "acquisition.json").write_text(json.dumps({"spacing_nm": SPACING_NM}))
    return folder


def write_truncated(folder: Path) -> None:
    """Write an acquisition with a truncated slice."""
    truncate(write_acquisition(folder) / "slice_0001.tif")


def landing_settings(folder: Path, **changed: object) -> Settings:
    """Return settings of a watcher with a short settle time."""
    (folder / "landing").mkdir(exist_ok=True)
    chosen = {
        "landing_folders": (folder / "landing",),
        "results_root": folder / "results",
        "settle_seconds": 0.5,
        "network": "phantom-compact",
        **changed,
    }
    return Settings.model_validate(chosen)


@dataclass
class RecordingPage:
    """Page of the overview that keeps the texts that it was given."""

    forms: dict[Path, str] = field(default_factory=dict)
    ui_url: str = "http://127.0.0.1:4200"
    texts: list[str] = field(default_factory=list)
    is_down: bool = False

    def show(self, text: str) -> bool:
        if not self.is_down:
            self.texts.append(text)
        return not self.is_down


@dataclass
class RecordingAnnouncer:
    """Announcer that keeps runs and reports by their key, as the server does."""

    runs: dict[str, LandedAcquisition] = field(default_factory=dict)
    reports: dict[str, Rejection] = field(default_factory=dict)
    is_down: bool = False
    refuses: str = ""
    has_no_deployment: bool = False
    overview: RecordingPage = field(default_factory=RecordingPage)

    def page(self) -> RecordingPage:
        return self.overview

    def __enter__(self) -> "RecordingAnnouncer":
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def start_run(self, acquisition: LandedAcquisition, landing: Path) -> str:
        self._answer()
        if self.has_no_deployment:
            raise NoDeploymentError("the server has no deployment")
        self.runs.setdefault(acquisition.key, acquisition)
        return f"run {list(self.runs).index(acquisition.key)}"

    def report_rejection(self, rejection: Rejection) -> bool:
        self._answer()
        known = rejection.key in self.reports
        self.reports.setdefault(rejection.key, rejection)
        return known

    def _answer(self) -> None:
        if self.is_down:
            raise ServerUnavailableError("the server does not answer")
        if self.refuses:
            raise HandOverError(self.refuses)

    @property
    def run_names(self) -> list[str]:
        return [landed.name for landed in self.runs.values()]

    @property
    def messages(self) -> list[str]:
        return [rejection.message for rejection in self.reports.values()]


class Scene:
    """Landing folders and a results root, scanned with a clock that the test sets."""

    def __init__(self, folder: Path, *landings: str, **settings: object) -> None:
        self.results_root = folder / "results"
        names = landings or ("landing",)
        self.landings = [folder / name for name in names]
        for landing in self.landings:
            landing.mkdir()
        self.now = 1_000_000.0
        self.server = RecordingAnnouncer()
        chosen = {
            "landing_folders": tuple(self.landings),
            "results_root": self.results_root,
            "settle_seconds": SETTLE_S,
            **settings,
        }
        self.rules = LandingRules.from_settings(Settings.model_validate(chosen))
        self.restart()

    @property
    def landing(self) -> Path:
        return self.landings[0]

    def restart(self) -> None:
        """Replace the scanner by a new one, which knows only the records on disk."""
        self.scanner = Scanner(self.rules, self.server, lambda: self.now)

    def scan(self, after_s: float = 0.0) -> ScanResult:
        """Let time pass, then scan."""
        self.now += after_s
        return self.scanner.scan()

    def settle(self) -> ScanResult:
        """Scan, let the settle time pass, scan again, and once more to confirm reports; return the second result."""
        self.scan()
        result = self.scan(SETTLE_S)
        self.scan()
        return result

    def rejected(self, name: str) -> dict[str, Any]:
        """Read the REJECTED.json of a results folder."""
        document: dict[str, Any] = json.loads((self.results_root / name / "REJECTED.json").read_text())
        return document
