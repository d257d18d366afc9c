"""``spherovem status`` shows what has landed and waits, and the watcher's log says once what it waits for."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from landing_scenes import SETTLE_S, Scene, write_acquisition

from deployments.command_line.main import main
from deployments.landing.waiting import waiting_acquisitions
from deployments.server.run_states import ServerStates
from deployments.settings import Settings
from spherovem_core.store import Layout, write_json

SETTINGS = Settings(settle_seconds=SETTLE_S)


def states(scene: Scene, settings: Settings = SETTINGS) -> dict[str, str]:
    return {each.name: each.state for each in waiting_acquisitions(scene.results_root, settings)}


def test_an_acquisition_is_settling_then_valid_then_queued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(tmp_path)
    assert waiting_acquisitions(tmp_path, SETTINGS) == []
    write_acquisition(scene.landing / "a")
    scene.scan()
    (settling,) = waiting_acquisitions(scene.results_root, SETTINGS)
    assert settling.state == "settling"
    assert settling.until is not None
    assert "not changed for 100 s" in settling.detail
    (marked,) = waiting_acquisitions(scene.results_root, Settings(sentinel_only=True))
    assert (marked.until, marked.detail) == (None, "waits for the file COMPLETE")

    scene.server.is_down = True
    scene.scan(SETTLE_S)
    assert states(scene) == {"a": "valid"}
    scene.server.is_down = False
    scene.scan(10.0)
    assert states(scene) == {"a": "queued"}

    assert main(["status", str(scene.results_root), "--json"]) == 0
    (waiting,) = json.loads(capsys.readouterr().out)["waiting"]
    assert (waiting["name"], waiting["state"]) == ("a", "queued")
    assert main(["status", str(scene.results_root)]) == 0
    assert "a worker takes its run" in capsys.readouterr().out

    write_acquisition(scene.landing / "a", seed=5)
    scene.scan(10.0)
    (again,) = waiting_acquisitions(scene.results_root, SETTINGS)
    assert (again.state, again.detail[:12]) == ("settling", "landed again")


def test_the_log_says_once_what_an_acquisition_waits_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path)
    folder = write_acquisition(scene.landing / "a")
    with caplog.at_level(logging.INFO, "deployments"):
        for second in range(5):
            (folder / "slice_0000.tif").write_bytes(bytes(second))  # still growing
            scene.scan(10.0)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["a: landed; checked when its files have not changed for 100 s"]


class Answers(BaseHTTPRequestHandler):
    """Server that knows the documents of `known`, for those who know its password."""

    known: ClassVar[dict[str, Any]] = {}

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == "Basic dXNlcjpwYXNz"
        document = self.known.get(self.path)
        self.send_response(401 if not allowed else 200 if document else 404)
        self.end_headers()
        if allowed and document:
            self.wfile.write(json.dumps(document).encode())

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Run a server on the loopback device; yield its documents by path."""
    Answers.known = {}
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "user:pass")
    yield Answers.known
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("state", "paused", "shown", "detail"),
    [
        (("SCHEDULED", "Scheduled", None), False, "queued", "when one is free"),
        (("SCHEDULED", "AwaitingConcurrencySlot", None), False, "queued", "another run of its deployment"),
        (("SCHEDULED", "Late", None), True, "paused", "prefect work-pool resume gpu"),
        (("PENDING", "Submitting", None), False, "queued", "when one is free"),
        (("PAUSED", "Suspended", None), False, "paused", "resume it in the UI"),
        (("RUNNING", "Running", None), False, "running", "has begun"),
        (("FAILED", "Failed", "Set it to 2. Found: a is 3"), False, "failed", "Set it to 2. Found"),
        (("CRASHED", "Crashed", ""), False, "failed", "Crashed (run "),
        (("COMPLETED", "Completed", None), False, "", ""),
    ],
)
def test_the_server_tells_what_a_run_that_has_written_nothing_waits_for(
    tmp_path: Path,
    known: dict[str, Any],
    state: tuple[str, str, str | None],
    paused: bool,
    shown: str,
    detail: str,
) -> None:
    scene = Scene(tmp_path)
    write_acquisition(scene.landing / "a")
    scene.settle()
    (record,) = scene.scanner.records
    names = dict(zip(("type", "name", "message"), state, strict=True))
    known[f"/api/flow_runs/{quote(record.flow_run)}"] = {"state": names, "work_pool_name": "gpu"}
    known["/api/work_pools/gpu"] = {"is_paused": paused}
    waiting = waiting_acquisitions(scene.results_root, SETTINGS)
    assert [each.state for each in waiting] == ([shown] if shown else [])
    assert all(detail in each.detail for each in waiting)


def test_a_server_that_refuses_or_is_silent_leaves_what_the_records_tell(
    tmp_path: Path, known: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    write_acquisition(scene.landing / "a")
    scene.settle()
    assert states(scene) == {"a": "queued"}, "unknown run"
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "user:wrong")
    assert states(scene) == {"a": "queued"}
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    silent = ServerStates()
    assert silent.find("1") is None
    assert states(scene) == {"a": "queued"}


@pytest.mark.parametrize("answer", [b"220 mail\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
def test_what_answers_wrongly_or_in_half_is_silent(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is killed while it answers ended `status` with a traceback, as a wrong address did."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{listener.getsockname()[1]}/api")
        assert ServerStates().find("1") is None
        thread.join()
    monkeypatch.setenv("PREFECT_API_URL", "head:4200")
    assert ServerStates().find("1") is None


def test_an_acquisition_that_landed_again_is_queued_beside_its_old_results(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    folder = write_acquisition(scene.landing / "a")
    scene.settle()
    layout = Layout(scene.results_root / "a")
    layout.locks.mkdir(parents=True)
    write_json(layout.failure, {"stage": "ingest", "error": "disk full", "time": ""})  # the first run failed
    (record,) = scene.scanner.records
    scene.scanner.records.keep(record.changed(handed_over=time.time() - 1000.0))
    assert states(scene) == {}
    write_acquisition(folder, seed=3)
    scene.settle()
    (record,) = scene.scanner.records
    scene.scanner.records.keep(record.changed(handed_over=time.time() + 10.0))
    (waiting,) = waiting_acquisitions(scene.results_root, SETTINGS)
    assert waiting.state == "queued"
    assert waiting.detail.startswith("landed again, its old results stay until then; a worker takes")
