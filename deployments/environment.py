"""Environment variables of a run: quiet Prefect, all loggers, no idle threads, safe imports."""

import os

LOGGERS = ("spherovem_core", "tasks", "flows", "deployments")
"""One logger for each package; modules log under ``__name__``."""

DEFAULTS = {
    # 90 s were too short on a loaded machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(LOGGERS),
    # Threads that compute blocks belong to no run; their messages go to the console alone.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # The command line prints its own messages; the runs' full logs are in the Prefect UI.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    # Stages set their own number of threads. Threads beyond those spin while they wait: on two virtual cores a
    # small training step took 0.42 s with two spinning threads, 0.03 s with two sleeping ones, 0.014 s with one.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    # `python -m` would import `flows` or `tasks` from the working folder, where a site may keep its own Prefect project.
    "PYTHONSAFEPATH": "1",
}


def prepare_environment() -> None:
    """Set the variables that the operator has not set. Call it before Prefect, NumPy or torch is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
