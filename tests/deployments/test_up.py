"""``spherovem up``: from nothing to a finished landing, while each of its processes is killed once."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
import yaml
from prefect_servers import Process, clean_environment, free_port
from tiny_pipeline import PHANTOM, TINY

from deployments.command_line.main import main
from deployments.command_line.up import welcome
from deployments.facility import systemd
from deployments.facility.children import Child, Program
from deployments.facility.home import Access, FacilityError, FacilityHome
from deployments.facility.programs import daily_programs, server_program, settings_environment
from deployments.private_files import write_private_variables
from deployments.settings import Settings
from spherovem_core.status import acquisition_state
from spherovem_core.synthetic.phantom import make_phantom, write_acquisition

SPHEROVEM = (sys.executable, "-m", "deployments.command_line")


def test_password_and_port_are_kept_and_readable_by_the_owner_alone(tmp_path: Path) -> None:
    home = FacilityHome(tmp_path / "home")
    home.make()
    port = free_port()
    first = home.access(port)
    assert (first.port, len(first.auth_string) > 24) == (port, True)
    assert home.access() == first
    for path in (home.folder, home.logs, home.access_file):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert FacilityHome(tmp_path / "other").folder != home.folder
    other = FacilityHome(tmp_path / "other")
    other.make()
    assert other.access().auth_string != first.auth_string


def test_temporary_files_are_in_a_folder_of_the_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's workers keep files in the one folder `runner_storage`: those of a second user of the machine did not start."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = FacilityHome(tmp_path / "home")
    home.make()
    assert home.temporary.parent == tmp_path
    assert stat.S_IMODE(home.temporary.stat().st_mode) == 0o700
    programs = [server_program(home, Access(4711, "a:b"))]
    programs += daily_programs(home, Access(4711, "a:b"), Settings(results_root=tmp_path), gpus=1)
    assert {program.environment["TMPDIR"] for program in programs} == {str(home.temporary)}
    home.temporary.chmod(0o777)
    home.make()
    assert stat.S_IMODE(home.temporary.stat().st_mode) == 0o700
    home.temporary.rmdir()
    home.temporary.symlink_to(tmp_path / "home")
    with pytest.raises(FacilityError, match="no folder of this user"):
        home.make()
    home.temporary.unlink()
    home.temporary.mkdir()
    monkeypatch.setattr("deployments.facility.home.os.getuid", lambda: os.geteuid() + 1)
    with pytest.raises(FacilityError, match="no folder of this user"):
        home.make()


def test_a_second_facility_of_one_folder_is_refused(tmp_path: Path) -> None:
    home = FacilityHome(tmp_path)
    home.make()
    with home.held(), pytest.raises(FacilityError, match="is running already"), home.held():
        pass


def test_the_server_is_closed_to_other_users_and_other_pages(tmp_path: Path) -> None:
    access = Access(4711, "spherovem:secret")
    environment = server_program(FacilityHome(tmp_path), access).environment
    assert environment["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert environment["PREFECT_SERVER_API_AUTH_STRING"] == "spherovem:secret"
    assert environment["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4711"
    assert environment["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"


def test_each_gpu_has_a_worker_and_settings_reach_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        results_root=Path("results"), landing_folders=(tmp_path / "land: ü",), network="x.pt", gpu_pool="own"
    )
    programs = daily_programs(FacilityHome(tmp_path), Access(4711, "a:b"), settings, gpus=2)
    devices = {program.name: program.environment.get("CUDA_VISIBLE_DEVICES") for program in programs[1:]}
    assert list(devices.values()) == ["0", "1", ""]
    (cpu_only, _) = daily_programs(FacilityHome(tmp_path), Access(4711, "a:b"), settings, gpus=0)[1:]
    assert "own" in cpu_only.arguments
    variables = settings_environment(settings)
    for program in programs:
        assert variables.items() <= program.environment.items()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    again = Settings()
    assert again == settings.model_copy(update={"results_root": tmp_path / "results"})


def test_the_password_is_shown_in_a_terminal_and_not_in_the_journal_of_a_service(tmp_path: Path) -> None:
    home, access = FacilityHome(tmp_path), Access(4711, "spherovem:secret")
    shown, kept = (
        welcome(home, access, Settings(), 0, with_password=with_password) for with_password in (True, False)
    )
    assert "Password        spherovem:secret " in shown
    assert "secret" not in kept
    assert f"Password        in {home.access_file}\n" in kept


def test_a_child_that_dies_is_restarted_with_growing_pauses(tmp_path: Path) -> None:
    child = Child(Program("short", [sys.executable, "-S", "-c", "print('x')"], {}), tmp_path, tmp_path)
    deadline = time.monotonic() + 60.0
    while child.restarts < 1 and time.monotonic() < deadline:
        child.keep_running()
        time.sleep(0.05)
    assert child.restarts == 1
    assert stat.S_IMODE(child.log.stat().st_mode) == 0o600
    assert "x" in child.last_lines()
    child.end(10.0)
    assert child.pid is None


def test_a_child_that_cannot_be_restarted_for_the_moment_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine without a free process ended the whole facility."""
    child = Child(Program("short", [sys.executable, "-S", "-c", ""], {}), tmp_path, tmp_path)
    child.keep_running()
    child.end(60.0)

    def none_left(*arguments: Any, **options: Any) -> Any:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr("deployments.facility.children.subprocess.Popen", none_left)
        child.keep_running()
        assert "short cannot be started (Resource temporarily unavailable); the next try" in caplog.text
        first = Child(child.program, tmp_path, tmp_path)
        with pytest.raises(BlockingIOError):
            first.keep_running()
    deadline = time.monotonic() + 60.0
    while child.restarts < 1 and time.monotonic() < deadline:
        child.keep_running()
        time.sleep(0.05)
    assert child.restarts == 1
    child.end(60.0)


def test_a_log_is_bounded_also_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("deployments.facility.children.LARGEST_LOG", 10)
    child = Child(Program("long", [sys.executable, "-S", "-c", ""], {}), tmp_path, tmp_path)
    older = tmp_path / "long.log.1"
    child.log.write_text("a long line\n")
    child.keep_running()
    assert older.read_text() == "a long line\n"
    child.end(60.0)
    child.log.write_text("another line\n")

    def full(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    child.keep_running()
    child.end(60.0)
    assert (child.log.stat().st_size, older.exists()) == (0, False)
    assert "its content is lost (No space left on device)" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--results-root", "results"], "no landing folder"),
        (["--landing-folders", "absent", "--results-root", "results"], "absent does not exist; make it"),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(
    tmp_path: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["up", "--home", str(tmp_path / "home"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_the_unit_runs_up_with_settings_that_only_the_owner_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(systemd.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(systemd.shutil, "which", lambda name: None)
    home = FacilityHome(tmp_path / "my home")
    home.make()
    settings = Settings(
        results_root=tmp_path / "results", landing_folders=(tmp_path / "land",), network="a.pt"
    )
    said = systemd.install_units(home, settings, 1, None)
    steps = ["systemctl --user daemon-reload", f"systemctl --user enable {systemd.UNIT}"]
    steps += [f"systemctl --user restart {systemd.UNIT}", "loginctl enable-linger"]
    assert f"to do     {' && '.join(steps)}" in said, "a running service would keep its old settings"
    assert "started" not in said
    unit = systemd.units_folder() / systemd.UNIT
    assert f'up --home "{home.folder}" --gpus 1' in unit.read_text()
    variables = home.folder / "settings.env"
    assert stat.S_IMODE(variables.stat().st_mode) == 0o600
    assert "SPHEROVEM_NETWORK=a.pt" in variables.read_text()
    monkeypatch.setattr(systemd.os, "geteuid", lambda: 0)
    with pytest.raises(FacilityError, match="rights of root"):
        systemd.install_units(home, settings, 1, None)


HOSTILE_TEXTS = ("plain", "a b", "land ü", 'x"y', "a\\b", "$HOME", "`id`", "5% %h", "it's", "a#b", "")


def test_a_shell_reads_variables_as_they_were(tmp_path: Path) -> None:
    variables = {f"V{number}": text for number, text in enumerate(HOSTILE_TEXTS)}
    write_private_variables(tmp_path / "v.env", variables)
    program = "import json, os; print(json.dumps({n: v for n, v in os.environ.items() if n[1:].isdigit()}))"
    shell = ["sh", "-c", f"set -a; . {tmp_path}/v.env; exec {sys.executable} -c '{program}'"]
    done = subprocess.run(shell, capture_output=True, text=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert json.loads(done.stdout) == variables


def test_a_private_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private_variables(tmp_path / "v.env", {"A": "old"})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("deployments.private_files.os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_private_variables(tmp_path / "v.env", {"A": "new"})
    assert [path.name for path in tmp_path.iterdir()] == ["v.env"]
    assert (tmp_path / "v.env").read_text() == "A=old\n"


def test_systemd_accepts_the_unit_of_a_folder_with_any_name(tmp_path: Path) -> None:
    """A percent sign in the path kept the service from starting, and systemd dropped the backslashes of settings."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    home = FacilityHome(tmp_path / 'my $state "7%h" ü')
    home.make()
    unit = tmp_path / systemd.UNIT
    unit.write_text(systemd.unit_text(home, home.folder / "settings.env", 0, 4300))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "info"},
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "spherovem" in line]
    assert (done.returncode, ours) == (0, [])
    text = unit.read_text()
    folder = str(home.folder).replace("%", "%%")
    assert f"WorkingDirectory={folder}" in text
    assert f"EnvironmentFile={folder}/settings.env" in text
    assert 'my $$state \\"7%%h\\" ü"' in text


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_from_nothing_to_a_finished_landing_while_each_process_is_killed_once(tmp_path: Path) -> None:
    landing, results_root = tmp_path / "landing", tmp_path / "results"
    landing.mkdir()
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    write_acquisition(make_phantom(PHANTOM), tmp_path / "acquired")
    with running_facility(tmp_path, landing, results_root) as facility:
        check_access(tmp_path / "home")
        (tmp_path / "acquired").rename(landing / "first")
        (landing / "first" / "COMPLETE").touch()
        killed: set[str] = set()
        children = {role_of(process): process for process in facility_children(facility)}
        assert set(children) == {"server", "watcher", "gpu", "cpu"}
        wait_until(lambda: state_of(results_root) == "running", 300.0, facility)
        for role, process in children.items():
            process.kill()
            killed.add(role)
            wait_until(lambda role=role: is_back(facility, role, children), 180.0, facility)
        assert killed == set(children)
        wait_until(lambda: state_of(results_root) == "complete", 1200.0, facility)
        family = facility.family()
        os.kill(facility.pid, signal.SIGINT)
        assert facility.wait(200.0) in (0, 130), facility.output
    _, alive = psutil.wait_procs(family, timeout=30.0)
    assert alive == []
    assert (results_root / "first" / "report.html").is_file()


@contextmanager
def running_facility(folder: Path, landing: Path, results_root: Path) -> Iterator[Process]:
    """Run ``spherovem up``; end it with everything that it started."""
    variables = {
        "SPHEROVEM_PARAMETERS": str(folder / "tiny.yaml"),
        "SPHEROVEM_DEVICE": "cpu",
        "SPHEROVEM_WORKERS": "1",
        "SPHEROVEM_SETTLE_SECONDS": "4",
        "SPHEROVEM_SCAN_INTERVAL_SECONDS": "5",
        "PYTHONSAFEPATH": "1",
    }
    options = ["--home", folder / "home", "--port", free_port(), "--gpus", 0]
    options += ["--landing-folders", landing, "--results-root", results_root]
    facility = Process(
        [*SPHEROVEM, "up", *map(str, options)],
        folder / "up.log",
        {**clean_environment(), **variables},
        folder,
    )
    try:
        facility.start()
        wait_until(lambda: "the facility is running" in facility.output, 600.0, facility)
        yield facility
    finally:
        facility.kill_session()


def check_access(home: Path) -> None:
    """Expect the server to refuse requests without password, without token, and to allow no other page."""
    variables = dict(line.split("=", 1) for line in (home / "access.env").read_text().splitlines())
    url, password = variables["PREFECT_API_URL"], b64encode(variables["PREFECT_API_AUTH_STRING"].encode())
    known = {"Authorization": f"Basic {password.decode()}", "Origin": "http://evil.example"}
    assert post(f"{url}/deployments/filter", {}) in (401, 403)
    assert post(f"{url}/deployments/filter", known) == 403  # the page of another site has no token
    with pytest.raises(HTTPError, match="401"):
        urlopen(f"{url}/admin/version", timeout=30)
    with urlopen(Request(f"{url}/admin/version", headers=known), timeout=30) as answer:
        assert answer.headers.get("Access-Control-Allow-Origin") is None


def post(url: str, headers: dict[str, str]) -> int:
    request = Request(url, b"{}", {"Content-Type": "application/json", **headers}, method="POST")
    try:
        with urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def facility_children(facility: Process) -> list[psutil.Process]:
    """List server, watcher and workers."""
    return [process for process in psutil.Process(facility.pid).children() if role_of(process)]


def role_of(process: psutil.Process) -> str:
    """Name a child of the facility by its command line; empty for others."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    if "server" in words and "start" in words:
        return "server"
    if words[-1:] == ["watch"]:
        return "watcher"
    return next((pool for pool in ("gpu", "cpu") if pool in words and "worker" in words), "")


def is_back(facility: Process, role: str, before: dict[str, psutil.Process]) -> bool:
    """Return whether another process has the role of a killed one."""
    return any(
        role_of(process) == role and process.pid != before[role].pid
        for process in facility_children(facility)
    )


def state_of(results_root: Path) -> str:
    folder = results_root / "first"
    return acquisition_state(folder).state if folder.is_dir() else "absent"


def wait_until(reached: Any, timeout_s: float, facility: Process) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert facility.running, facility.output
        assert time.monotonic() < deadline, facility.output
        time.sleep(0.5)
