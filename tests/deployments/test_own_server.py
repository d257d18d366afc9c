"""`spherovem up` works with its own server alone, and sends its password to no other."""

import base64
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployments.facility import tree
from deployments.facility.children import Program
from deployments.facility.home import Access, FacilityError, FacilityHome
from deployments.facility.own_server import is_healthy, is_own_server
from deployments.facility.tree import ProcessTree
from deployments.settings import Settings

PASSWORD = "spherovem:secret"
SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(600)")


@contextmanager
def answering(password: str | None) -> Iterator[tuple[int, list[str | None]]]:
    """Run a server that wants a password like Prefect's; yield its port and the passwords that it was sent."""
    sent: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization")
            sent.append(given)
            wanted = None if password is None else f"Basic {base64.b64encode(password.encode()).decode()}"
            self.send_response(200 if self.path.endswith("/health") or wanted in (None, given) else 401)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def check(port: int, pid: int | None) -> bool:
    return is_own_server(Access(port, PASSWORD), Path("/home/access.env"), pid)


def test_the_own_server_with_its_password_is_accepted() -> None:
    with answering(PASSWORD) as (port, _):
        assert check(port, os.getpid())


@pytest.mark.parametrize("password", [PASSWORD, "other:word", None])
@pytest.mark.parametrize("pid", [None, 2**22 - 1])
def test_the_server_of_another_process_is_refused_and_not_sent_the_password(
    password: str | None, pid: int | None
) -> None:
    with answering(password) as (port, sent):
        with pytest.raises(FacilityError, match=f"another server answers at http://127.0.0.1:{port}.*--port"):
            check(port, pid)
        assert set(sent) == {None}


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("other:word", "refuses the password of /home/access.env; .*delete that file"),
        (None, "needs no password"),
    ],
)
def test_a_server_with_another_password_or_none_is_refused(password: str | None, said: str) -> None:
    with answering(password) as (port, _), pytest.raises(FacilityError, match=said):
        check(port, os.getpid())


def test_what_is_no_web_server_is_not_healthy() -> None:
    """Its answer ended `up` with a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert not is_healthy(f"http://127.0.0.1:{listener.getsockname()[1]}/api")
        thread.join()


def facility(folder: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> ProcessTree:
    """Return a tree whose server does nothing, and which has no other programs."""
    home = FacilityHome(folder)
    home.make()
    monkeypatch.setattr(tree, "server_program", lambda *_: Program("server", SLEEP, {}))
    monkeypatch.setattr(tree, "daily_programs", lambda *_: [])
    return ProcessTree(home, Access(port, PASSWORD), Settings(), 0)


def test_up_ends_with_one_error_where_another_server_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering("other:word") as (port, _):
        running = facility(tmp_path, port, monkeypatch)
        with pytest.raises(FacilityError, match="another server answers"):
            running.run(threading.Event())
    assert [child.pid for child in running.children] == [None]


@pytest.mark.parametrize("server_dies", [True, False])
def test_a_set_up_that_fails_is_repeated_only_if_the_server_died_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_dies: bool
) -> None:
    running = facility(tmp_path, 4711, monkeypatch)
    monkeypatch.setattr(tree, "is_own_server", lambda *_: True)
    stopped, runs = threading.Event(), []

    def set_up(log: Path, _: threading.Event) -> int:
        runs.append(log)
        log.write_text("no answer")
        if len(runs) == 2:
            stopped.set()
            return 0
        if server_dies:
            running.children[0].end(10.0)
        return 1

    monkeypatch.setattr(running, "_run_set_up", set_up)
    if server_dies:
        running.run(stopped)
    else:
        with pytest.raises(FacilityError, match=r"set-up of the server failed.*\nno answer"):
            running.run(stopped)
    assert len(runs) == (2 if server_dies else 1)
