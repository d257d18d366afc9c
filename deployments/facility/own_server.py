"""Check that the server which answers is the one of this facility, before it gets the password and the work."""

from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

from deployments.facility.home import Access, FacilityError
from deployments.server.authorization import authorize

TIMEOUT_S = 5.0
OK = 200
REFUSALS = (401, 403)


def is_healthy(api_url: str) -> bool:
    """Return whether a Prefect server, of whomever, answers."""
    try:
        with urlopen(f"{api_url}/health", timeout=TIMEOUT_S) as answer:
            return bool(answer.status == OK)
    except (HTTPException, OSError):
        return False


def is_own_server(access: Access, access_file: Path, pid: int | None) -> bool:
    """Return whether the server of this facility answers.

    The password is sent to no process but this facility's own.

    Parameters
    ----------
    access_file
        File with the password, for the message.
    pid
        Process of the server; None while it does not run.

    Raises
    ------
    FacilityError
        If another server answers, or if this one refuses its password or needs none.
    """
    if not is_healthy(access.api_url):
        return False
    if not listens(pid, access.port):
        if not is_healthy(access.api_url):  # it was ours, and has just died
            return False
        raise FacilityError(
            f"another server answers at {access.address}, so that the one of this facility cannot start there; "
            "end that one, or choose another port with --port"
        )
    known, unknown = _status(access, access.auth_string), _status(access, None)
    if known in REFUSALS:
        raise FacilityError(
            f"the Prefect server at {access.address} refuses the password of {access_file}; end spherovem up, delete that file, "
            "and start again: a new password is made"
        )
    if unknown == OK:
        raise FacilityError(
            f"the Prefect server at {access.address} needs no password, so that every user of this machine could start programs; "
            "install the version of prefect that spherovem pins, and start again"
        )
    return known == OK


def listens(pid: int | None, port: int) -> bool:
    """Return whether a process or one that it started listens at a port of this machine."""
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return False
    return any(_listens(member, port) for member in family)


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        found = process.net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


def _status(access: Access, auth_string: str | None) -> int:
    """Return the status with which the server answers a request that needs the password; 0 if it does not answer."""
    request = Request(f"{access.api_url}/admin/version")
    if auth_string is not None:
        authorize(request, auth_string)
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except (HTTPException, OSError):
        return 0
