"""Flow scan-landing: one scan of the landing folders, as a backup of the watcher."""

import os
import subprocess
import sys

from prefect import flow, get_run_logger

from flows.failures import with_remedy_first
from spherovem_core.errors import SpheroVemError


class ScanError(SpheroVemError, RuntimeError):
    """A scan that left something undone."""


@flow(name="scan-landing")
@with_remedy_first
def scan_landing() -> None:
    """Scan the landing folders once, as `spherovem watch` does, with the settings of this machine.

    While a watcher runs this does nothing: one process at a time serves a results root. The flow runs the command in a
    process of its own, because flows may not import the watcher.

    Raises
    ------
    ScanError
        If the scan left something undone, with the command's message.
    """
    from prefect.settings import get_current_settings

    environment = {**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)}
    done = subprocess.run(
        [sys.executable, "-m", "deployments.command_line", "watch", "--once"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    logger = get_run_logger()
    for line in done.stdout.splitlines():
        logger.info(line)
    if done.returncode != 0:
        raise ScanError(done.stderr.strip() or f"spherovem watch --once ended with {done.returncode}")
