"""Environment of a run: Prefect without a server of its own quiet and patient, compiled libraries without idle threads."""

import os

DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "spherovem_core",
    # Threads that compute blocks know no run; what they log is shown on the console alone.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # The command line says itself what goes on; the runs' full logs are in the Prefect UI.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    # Stages set the threads they want themselves. A pool beyond those spins while it waits: on two virtual cores a
    # small training step took 0.42 s with two spinning threads, 0.03 s with two sleeping ones, 0.014 s with one.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
}


def prepare_environment() -> None:
    """Set what the operator has not set; to be called before Prefect, NumPy or torch is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
