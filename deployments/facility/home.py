"""Folder of a facility on this machine: port and password of its server, its database, and the logs of its processes."""

import fcntl
import os
import secrets
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deployments.private_files import write_private_variables
from spherovem_core.errors import SpheroVemError, StoreNotWritableError

FIRST_PORT = 4200
PORTS = 200
USER = "spherovem"
HOST = "127.0.0.1"


class FacilityError(SpheroVemError, RuntimeError):
    """A facility that cannot be started."""


def default_home() -> Path:
    """Return the folder of this user's facility: in ``XDG_STATE_HOME``, else ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "spherovem"


@dataclass(frozen=True)
class Access:
    """Address and password of the server.

    Attributes
    ----------
    port
        Port on the loopback interface.
    auth_string
        User and password, as ``USER:PASSWORD``.
    """

    port: int
    auth_string: str

    @property
    def address(self) -> str:
        """Address of the UI."""
        return f"http://{HOST}:{self.port}"

    @property
    def api_url(self) -> str:
        """Address of the API."""
        return f"{self.address}/api"

    def client_environment(self) -> dict[str, str]:
        """Return the variables with which a client finds the server and may use it."""
        return {
            "PREFECT_API_URL": self.api_url,
            "PREFECT_UI_URL": self.address,
            "PREFECT_API_AUTH_STRING": self.auth_string,
        }

    def server_environment(self) -> dict[str, str]:
        """Return the variables of the server: password, own pages only, and tokens against requests of other pages."""
        return {
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_UI_API_URL": self.api_url,
            "PREFECT_SERVER_API_AUTH_STRING": self.auth_string,
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": self.address,
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # Runs that wait for a GPU are no news. Hundreds that are marked as late after Prefect's 15 s keep SQLite busy.
            "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "86400",
        }


class FacilityHome:
    """The folder; files with the password are readable by their owner alone.

    Attributes
    ----------
    folder, logs, access_file
        Folder of the facility, its logs, and the file with the password.
    temporary
        Folder for temporary files of this user alone. Prefect's workers share ``/tmp/runner_storage``, which belongs to the
        first user of the machine who starts one: those of a second one failed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()
        self.logs = self.folder / "logs"
        self.access_file = self.folder / "access.env"
        self.temporary = Path(tempfile.gettempdir()) / f"spherovem-{os.getuid()}"

    def make(self) -> None:
        """Make the folders.

        Raises
        ------
        StoreNotWritableError
            If they cannot be made.
        FacilityError
            If the folder for temporary files is another user's.
        """
        try:
            for folder in (self.folder, self.logs, self.folder / "server", self.folder / "client"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreNotWritableError(
                f"the folder {self.folder} cannot be written ({error.strerror or error}); choose another with --home DIR"
            ) from error
        _make_own(self.temporary)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the facility, so that no second one uses its database and its port.

        Raises
        ------
        FacilityError
            If another process holds it.
        """
        with (self.folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise FacilityError(
                    f"the facility of {self.folder} is running already; end it, or choose another folder with --home DIR"
                ) from error
            yield

    def access(self, port: int | None = None) -> Access:
        """Return address and password, made at the first call; another port is taken where the last one is not free.

        Raises
        ------
        FacilityError
            If the given port, or every port that is tried, is taken.
        """
        before = self._read()
        last = before.get("PREFECT_API_URL", "").removesuffix("/api").rpartition(":")[2]
        auth_string = before.get("PREFECT_API_AUTH_STRING") or f"{USER}:{secrets.token_urlsafe(18)}"
        access = Access(_choose_port(port, int(last) if last.isdecimal() else None), auth_string)
        write_private_variables(self.access_file, access.client_environment())
        return access

    def _read(self) -> dict[str, str]:
        try:
            lines = self.access_file.read_text().splitlines()
        except FileNotFoundError:
            return {}
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def _make_own(folder: Path) -> None:
    """Make a folder with rights 700 in a place where everyone may make folders."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise FacilityError(
            f"{folder} is no folder of this user, who needs it for temporary files; remove it, or set TMPDIR to another folder"
        )
    folder.chmod(0o700)


def _choose_port(given: int | None, last: int | None) -> int:
    if given is not None:
        if not is_free(given):
            raise FacilityError(f"port {given} is taken; choose another with --port, or leave it out")
        return given
    wanted = [last] if last is not None else []
    for port in [*wanted, *range(FIRST_PORT, FIRST_PORT + PORTS)]:
        if is_free(port):
            return int(port)
    raise FacilityError(
        f"no port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free; choose one with --port"
    )


def is_free(port: int) -> bool:
    """Return whether nobody listens at a port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
