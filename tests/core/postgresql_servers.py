"""PostgreSQL server of the distribution's packages, on loopback and in a temporary folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foreign_environments import unavailable
from prefect_servers import free_port

ACCOUNTS = ("postgres", "nobody")
"""Accounts to run it as when the tests run as root, which PostgreSQL refuses."""


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a server with a database for Prefect; yield the URL that Prefect's server takes."""
    if binaries() is None:
        unavailable("no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql")
    account = server_account()
    # The folder holds a socket, whose path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-", dir="/tmp"))
    if account is not None:
        shutil.chown(folder, account)
    data, port = folder / "data", free_port()
    options = {"user": account, "cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C"}}
    run("initdb", "-D", str(data), "-U", "prefect", "-A", "trust", "-E", "UTF8", "--no-sync", **options)
    with (folder / "postgresql.log").open("wb") as log:
        server = subprocess.Popen(
            [program("postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"],
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


def binaries() -> Path | None:
    """Find the folder with the programs of the newest version."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return max(found, key=lambda path: float(path.parent.name), default=None)


def program(name: str) -> Path:
    """Return the path of one of PostgreSQL's programs."""
    folder = binaries()
    assert folder is not None
    return folder / name


def server_account() -> str | None:
    """Return the account to run the server as; None for that of the tests."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name for account in pwd.getpwall()}
    return next(name for name in ACCOUNTS if name in known)


def run(name: str, *arguments: str, **options: object) -> None:
    """Run one of PostgreSQL's programs; a failure shows its output."""
    done = subprocess.run([program(name), *arguments], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def wait_until_ready(server: "subprocess.Popen[bytes]", at: list[str], log: Path) -> None:
    """Wait until the server accepts connections."""
    deadline = time.monotonic() + 60
    while subprocess.run([program("pg_isready"), "-q", *at], check=False).returncode != 0:
        assert server.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.2)
