"""Look at the landing folders once, as a backup for a watcher that is down."""

import os
import subprocess
import sys

from prefect import flow, get_run_logger


@flow(name="scan-landing")
def scan_landing() -> None:
    """Do what `spherovem watch` does at one of its looks, with the settings of the machine it runs on.

    Beside a watcher that is at work it does nothing: one process at a time serves a results root. It is that very
    command, in a process of its own, because the watcher starts flows and no flow knows it.

    Raises
    ------
    RuntimeError
        If the look left something undone, with what the command said.
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
        raise RuntimeError(done.stderr.strip() or f"spherovem watch --once ended with {done.returncode}")
