"""Landings: many acquisitions at once on one workstation, and how fast the Prefect UI answers meanwhile.

    python benchmarks/landings.py [--landings 300] [--slices 3] [--json FILE]

Server with SQLite, set-up and watcher run as `spherovem up` starts them; no worker runs, so that the runs stay in the queue.
The acquisitions are moved into the landing folder at once. From then on until each has its run, the requests of the UI's pages
*Runs*, *Dashboard* and *Work pool* are sent again and again, six at once as a browser does, and timed. The same before anything
has landed is the baseline, and afterwards, with all runs waiting in the queue, a third measurement.

Exit code 1: runs are missing or double, or a request took a second or longer while runs were handed over.
"""

import argparse
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import tifffile

from deployments.facility.children import Child
from deployments.facility.home import Access, FacilityHome
from deployments.facility.own_server import is_healthy
from deployments.facility.programs import daily_programs, server_program, setup_program
from deployments.settings import Settings

AT_ONCE = 6
"""Connections of a browser to one server."""

PAUSE_S = 1.0
"""Between two loads of the pages; an open page of the UI asks again after 30 s."""

LIMIT_S = 1.0
FAILED = ("FAILED", "CRASHED")


def page_requests() -> list[tuple[str, dict[str, Any]]]:
    """Return the requests of the UI's pages Runs, Dashboard and Work pool with their bodies, as Prefect 3.8 sends them."""
    now = datetime.now(UTC)
    week = {"before_": now.isoformat(), "after_": (now - timedelta(days=7)).isoformat()}
    day = {"before_": now.isoformat(), "after_": (now - timedelta(days=1)).isoformat()}
    pool = {"name": {"any_": ["gpu"]}}

    def count(*states: str) -> tuple[str, dict[str, Any]]:
        state = {"type": {"any_": list(states)}} if states else None
        runs = {"expected_start_time": day} | ({"state": state} if state else {})
        return "flow_runs/count", {"flow_runs": runs, "sort": "EXPECTED_START_TIME_DESC"}

    started = {"flow_runs": {"start_time": week}, "sort": "START_TIME_DESC", "limit": 100}
    late = {
        "flow_runs": {"expected_start_time": day, "state": {"name": {"any_": ["late"]}}},
        "work_pools": pool,
    }
    return [
        ("flow_runs/count", {}),
        ("task_runs/count", {}),
        ("ui/flow_runs/history", {**started, "offset": 0}),
        ("flow_runs/paginate", {**started, "page": 1}),
        ("flow_runs/paginate", {"sort": "EXPECTED_START_TIME_DESC", "limit": 100, "page": 1}),
        ("flows/paginate", {"limit": 100}),
        ("deployments/paginate", {"limit": 100}),
        ("work_pools/filter", {}),
        ("flow_runs/filter", {}),
        count(),
        count("CANCELLED"),
        count(*FAILED),
        count("RUNNING", "PENDING", "CANCELLING"),
        count("COMPLETED"),
        count("SCHEDULED", "PAUSED"),
        ("flow_runs/count", late),
        ("flow_runs/lateness", {"flow_runs": {"expected_start_time": day}, "work_pools": pool}),
        ("flow_runs/filter", {"flow_runs": {"expected_start_time": day}, "work_pools": pool, "limit": 14}),
        ("work_pools/gpu/workers/filter", {}),
        ("work_pools/gpu/queues/filter", {"limit": 51}),
        (
            "task_runs/history",
            {
                "history_start": day["after_"],
                "history_end": day["before_"],
                "history_interval_seconds": 4320,
                "task_runs": {"start_time": day},
            },
        ),
    ]


class Browser:
    """Sends the requests of the pages until it is told to stop, and keeps the seconds of each.

    Attributes
    ----------
    seconds
        For each phase the path and seconds of each request.
    """

    def __init__(self, access: Access) -> None:
        user, _, password = access.auth_string.partition(":")
        self._client = httpx.Client(base_url=access.api_url, auth=(user, password), timeout=120.0)
        name = str(uuid4())
        token = self._client.get("/csrf-token", params={"client": name}).json()["token"]
        self._client.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": name})
        self.seconds: dict[str, list[tuple[str, float]]] = {}

    def load_pages(self, phase: str) -> None:
        """Send each request once, six at once."""
        with ThreadPoolExecutor(AT_ONCE) as connections:
            self.seconds.setdefault(phase, []).extend(connections.map(self._time, page_requests()))

    def _time(self, request: tuple[str, dict[str, Any]]) -> tuple[str, float]:
        path, body = request
        began = time.perf_counter()
        self._client.post(f"/{path}", json=body).raise_for_status()
        return path, time.perf_counter() - began

    def names_of_runs(self) -> list[str]:
        """Return the names of all runs of the deployment on-landing."""
        names: list[str] = []
        wanted = {"deployments": {"name": {"any_": ["on-landing"]}}, "limit": 200}
        while page := self._client.post("/flow_runs/filter", json={**wanted, "offset": len(names)}).json():
            names += [run["name"] for run in page]
        return names

    @contextmanager
    def loading(self, phase: str) -> Iterator[None]:
        """Load the pages again and again meanwhile."""
        stopped = threading.Event()

        def load() -> None:
            while not stopped.is_set():
                self.load_pages(phase)
                stopped.wait(PAUSE_S)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()


def acquire(folder: Path, count: int, slices: int) -> None:
    """Write small acquisitions, each with content of its own."""
    values = np.random.default_rng(0)
    for number in range(count):
        place = folder / f"acquisition-{number:04d}"
        place.mkdir(parents=True)
        for index in range(slices):
            tifffile.imwrite(place / f"slice_{index:04d}.tif", values.integers(0, 255, (32, 32), np.uint8))
        (place / "acquisition.json").write_text(json.dumps({"spacing_nm": [50.0, 10.0, 10.0]}))


@contextmanager
def facility(folder: Path, settings: Settings) -> Iterator[tuple[Access, Child]]:
    """Run server and set-up; yield the watcher, which is not started yet."""
    home = FacilityHome(folder / "home")
    home.make()
    access = home.access(free_port())
    server = Child(server_program(home, access), home.logs, home.folder)
    setup = Child(setup_program(home, access, settings), home.logs, home.folder)
    watcher = Child(daily_programs(home, access, settings, 0)[0], home.logs, home.folder)
    try:
        server.keep_running()
        wait_until(lambda: is_healthy(access.api_url), 600.0, "the server does not start")
        setup.keep_running()
        wait_until(lambda: setup.pid is None, 600.0, "the set-up does not end")
        yield access, watcher
    finally:
        for child in (watcher, setup, server):
            child.end(60.0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(reached: Any, seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            sys.exit(otherwise)
        time.sleep(0.5)


def measure(folder: Path, count: int, slices: int) -> dict[str, Any]:
    """Land the acquisitions; return seconds of the requests by phase, and how the runs were handed over."""
    landing, staged = folder / "landing", folder / "staged"
    landing.mkdir()
    acquire(staged, count, slices)
    settings = Settings(
        landing_folders=(landing,),
        results_root=folder / "results",
        settle_seconds=5.0,
        scan_interval_seconds=5.0,
        network="phantom-compact",
    )
    (folder / "results").mkdir()
    with facility(folder, settings) as (access, watcher):
        browser = Browser(access)
        for _ in range(5):
            browser.load_pages("nothing landed")
        watcher.keep_running()
        began = time.monotonic()
        for place in sorted(staged.iterdir()):
            place.rename(landing / place.name)
        with browser.loading("handed over"):
            handed_over = wait_for_runs(browser, count)
        seconds = time.monotonic() - began
        for _ in range(5):
            browser.load_pages("all in the queue")
        names = browser.names_of_runs()
    expected = sorted(f"acquisition-{number:04d}" for number in range(count))
    return {
        "landings": count,
        "exactly_one_run_each": handed_over and sorted(names) == expected,
        "seconds_from_landing_to_last_run": round(seconds, 1),
        "requests": {phase: statistics(timed) for phase, timed in browser.seconds.items()},
    }


def wait_for_runs(browser: Browser, count: int, seconds: float = 3600.0) -> bool:
    deadline = time.monotonic() + seconds
    while len(browser.names_of_runs()) < count:
        if time.monotonic() > deadline:
            return False
        time.sleep(5.0)
    return True


def statistics(timed: Sequence[tuple[str, float]]) -> Mapping[str, Any]:
    """Return number, median, 95th percentile and maximum of requests in seconds, the share below a second, the slowest path."""
    seconds = np.array([each for _, each in timed])
    slowest = max(timed, key=lambda each: each[1])[0]
    return {
        "number": len(timed),
        "median_s": round(float(np.median(seconds)), 3),
        "p95_s": round(float(np.percentile(seconds, 95)), 3),
        "max_s": round(float(seconds.max()), 3),
        "below_1_s": round(float((seconds < LIMIT_S).mean()), 4),
        "slowest": slowest,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--landings", type=int, default=300)
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="landings-") as folder:
        found = measure(Path(folder), options.landings, options.slices)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(f"{text}\n")
    fast = found["requests"]["handed over"]["max_s"] < LIMIT_S
    sys.exit(0 if fast and found["exactly_one_run_each"] else 1)


if __name__ == "__main__":
    main()
