"""A PostgreSQL server of the distribution's packages, on loopback and in a temporary folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect_servers import free_port

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
ACCOUNTS = ("postgres", "nobody")
"""As whom it runs where the tests run as root, which it refuses."""


@contextmanager
def postgresql() -> Iterator[str]:
    """A database for Prefect, as the URL that its server takes; gone afterwards.

    Skips the test where PostgreSQL is not installed.
    """
    if not BINARIES:
        pytest.skip("no PostgreSQL in /usr/lib/postgresql (apt-get install postgresql)")
    account = server_account()
    folder = Path(tempfile.mkdtemp(prefix="spherovem-postgresql-"))
    if account is not None:
        shutil.chown(folder, account)
    data, port = folder / "data", free_port()
    options = {"user": account, "cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C"}}
    run("initdb", "-D", str(data), "-U", "prefect", "-A", "trust", "-E", "UTF8", "--no-sync", **options)
    with (folder / "postgresql.log").open("wb") as log:
        server = subprocess.Popen(
            [BINARIES[-1] / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
    try:
        at = ["-h", "127.0.0.1", "-p", str(port), "-U", "prefect"]
        wait_until_ready(server, at, folder / "postgresql.log")
        run("createdb", *at, "prefect", **options)
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/prefect"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def server_account() -> str | None:
    """Account to run the server as; None for the one of the tests."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name for account in pwd.getpwall()}
    return next(name for name in ACCOUNTS if name in known)


def run(program: str, *arguments: str, **options: object) -> None:
    """Run one of PostgreSQL's programs to its end; a failure shows its output."""
    done = subprocess.run(
        [BINARIES[-1] / program, *arguments], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr


def wait_until_ready(server: "subprocess.Popen[bytes]", at: list[str], log: Path) -> None:
    """Wait until the server takes connections."""
    deadline = time.monotonic() + 60
    while subprocess.run([BINARIES[-1] / "pg_isready", "-q", *at], check=False).returncode != 0:
        assert server.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.2)
