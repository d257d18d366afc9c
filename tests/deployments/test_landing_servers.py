"""Watcher, server and worker as processes: each acquisition is processed once, although processes are killed."""

import json
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from landing_runs import process_landed_phantom
from landing_scenes import write_acquisition, write_truncated
from landing_servers import copy_slowly, rejected_names, watcher
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.events.schemas.events import Event
from prefect_servers import connected, running_server, running_worker
from trivial_deployments import wait_until

ACQUISITIONS = 200
LANDING_S = 60.0
WATCHER_KILLS = 5
FOLDER = str(Path(__file__).parent)
# A hundred runs wait here for two workers. The server would mark each of them as late, repeatedly while SQLite is busy, which
# costs more than the runs.
WITHOUT_LATE_RUNS = {"PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false"}


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_landed_acquisition_is_processed_to_its_tables(tmp_path: Path) -> None:
    with running_server(tmp_path / "home") as server:
        process_landed_phantom(server, tmp_path)


@dataclass(frozen=True)
class Planned:
    """Plan of one acquisition: its content, and the time and speed of its copy."""

    name: str
    source: Path
    at_s: float
    seconds: float
    again_at_s: float | None
    is_good: bool


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_200_acquisitions_are_processed_or_rejected_once_while_processes_are_killed(tmp_path: Path) -> None:
    """Kill watcher and server while acquisitions land: valid ones run exactly once, broken ones are reported once.

    The worker starts after the last kill, so that no run is interrupted: interrupted runs have their own tests.
    """
    chance = random.Random(0)
    landing, results_root = tmp_path / "landing", tmp_path / "results"
    plans = [plan_one(tmp_path / "acquired", number, chance) for number in range(ACQUISITIONS)]
    good = {plan.name for plan in plans if plan.is_good}
    broken = {plan.name for plan in plans if not plan.is_good}
    with running_server(tmp_path / "home", settings=WITHOUT_LATE_RUNS) as server, connected(server):
        with get_client(sync_client=True) as client:
            deploy(client)
        process = watcher(
            server,
            landing,
            results_root,
            tmp_path / "watcher.log",
            settle_seconds=6,
            deployment="note-acquisition/storm",
        )
        storm = threading.Thread(target=land, args=(plans, landing))
        try:
            process.start()
            storm.start()
            for kill in range(WATCHER_KILLS):
                wait_until(
                    lambda kill=kill: process.output.count("watching ") > kill, 180, lambda: process.output
                )
                time.sleep(chance.uniform(1.0, 9.0))
                process.kill()
                if kill % 2:
                    server.kill()
                    time.sleep(chance.uniform(0.0, 3.0))
                    process.start()
                    time.sleep(chance.uniform(0.0, 8.0))
                    server.start()
                else:
                    process.start()
            with get_client(sync_client=True) as client, running_worker(server, "storm", limit=2):
                storm.join()
                wait_patiently(
                    lambda: len(runs(client)) >= len(good) and len(reports(client)) >= len(broken),
                    900.0,
                    lambda: (
                        f"{len(runs(client))} runs, {len(reports(client))} reports\n{process.output[-4000:]}"
                    ),
                )
                wait_patiently(
                    lambda: all(run.state is not None and run.state.is_final() for run in runs(client)),
                    3600.0,
                    lambda: str(Counter(run.state_name for run in runs(client))),
                )
                time.sleep(15)  # a second run or report would be there by then
                states = Counter((run.name, run.state_name) for run in runs(client))
                reported = Counter(event.payload["name"] for event in reports(client))
        finally:
            storm.join()
            process.stop()
            print(process.output[-4000:])
    assert states == Counter({(name, "Completed"): 1 for name in good})
    assert reported == Counter(dict.fromkeys(broken, 1))
    assert rejected_names(results_root) == sorted(broken)
    for plan in plans:
        if plan.is_good:
            (noted,) = (results_root / plan.name / "runs").read_text().splitlines()
            assert json.loads(noted) == sorted(path.name for path in plan.source.iterdir())
    assert process.output.count("watching ") == WATCHER_KILLS + 1


def plan_one(folder: Path, number: int, chance: random.Random) -> Planned:
    """Plan an acquisition: every second is broken, every fifth copied slowly, every seventh copied twice."""
    name = f"acquisition {number:03d}"
    source = folder / name
    is_good = number % 2 == 0
    if is_good:
        write_acquisition(source, seed=number)
    else:
        chance.choice(BREAKING)(source)
    at_s = chance.uniform(0.0, LANDING_S)
    seconds = chance.uniform(5.0, 15.0) if number % 5 == 0 else 0.0
    again_at_s = at_s + seconds + chance.uniform(0.5, 20.0) if number % 7 == 0 else None
    return Planned(name, source, at_s, seconds, again_at_s, is_good)


def a_missing_slice(folder: Path) -> None:
    (write_acquisition(folder) / "slice_0001.tif").unlink()


def no_voxel_size(folder: Path) -> None:
    (write_acquisition(folder) / "acquisition.json").unlink()


def no_tiff_at_all(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("tomorrow")


def an_abandoned_copy(folder: Path) -> None:
    (write_acquisition(folder) / ".slice_0003.tif.Ab1Cd2").write_bytes(b"II*")


BREAKING: tuple[Callable[[Path], None], ...] = (
    write_truncated,
    a_missing_slice,
    no_voxel_size,
    no_tiff_at_all,
    an_abandoned_copy,
)


def land(plans: list[Planned], landing: Path) -> None:
    """Copy each acquisition at its time, some slowly and in parallel, some a second time."""
    began = time.monotonic()
    copies: list[tuple[float, Planned, bool]] = [(plan.at_s, plan, False) for plan in plans]
    copies += [(plan.again_at_s, plan, True) for plan in plans if plan.again_at_s is not None]
    slow: list[threading.Thread] = []
    for at_s, plan, again in sorted(copies, key=lambda copy: copy[0]):
        time.sleep(max(0.0, began + at_s - time.monotonic()))
        if again or plan.seconds == 0.0:
            for thread in slow:
                if thread.name == plan.name:
                    thread.join()
            shutil.copytree(
                plan.source, landing / plan.name, dirs_exist_ok=True, copy_function=shutil.copyfile
            )
        else:
            slow.append(
                threading.Thread(
                    target=copy_slowly, args=(plan.source, landing / plan.name, plan.seconds), name=plan.name
                )
            )
            slow[-1].start()
    for thread in slow:
        thread.join()


def deploy(client: SyncPrefectClient) -> None:
    from landing_flows import note_acquisition
    from prefect.client.schemas.actions import WorkPoolCreate

    client.create_work_pool(WorkPoolCreate(name="storm", type="process"))
    client.create_deployment(
        flow_id=client.create_flow(note_acquisition),
        name="storm",
        entrypoint="landing_flows.note_acquisition",
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": "."}}],
        work_pool_name="storm",
        job_variables={"env": {"PYTHONPATH": FOLDER}},
    )


def wait_patiently(reached: Callable[[], bool], timeout_s: float, otherwise: Callable[[], str]) -> None:
    """Wait with long pauses between requests to the server."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(10.0)


def runs(client: SyncPrefectClient) -> list[FlowRun]:
    found: list[FlowRun] = []
    wanted = FlowFilter(name=FlowFilterName(any_=["note-acquisition"]))
    while page := client.read_flow_runs(flow_filter=wanted, limit=200, offset=len(found)):
        found += page
    return found


def reports(client: SyncPrefectClient) -> list[Event]:
    wanted = EventFilter(event=EventNameFilter(name=["spherovem.acquisition.rejected"]))
    page = client.read_events(wanted, limit=50)
    found = list(page.events)
    while page.next_page is not None:
        page = client.read_events_page(str(page.next_page))
        found += page.events
    return found
