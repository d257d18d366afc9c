"""One SLURM job for each run that waits in a work pool, so that no allocation idles.

    export PREFECT_API_URL=http://head:4200/api
    python deployments/units/slurm/job_per_run.py --pool gpu --most 8 -- --partition=gpu --account=us

It looks every half minute and submits `worker.sbatch` with a worker that takes one run and ends with it. The number of jobs
follows from the runs that wait and the jobs that SLURM knows, so that the script may be stopped and started again at any time.
A job that finds no run ends at once. Options after ``--`` are passed to sbatch.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

JOB_NAME = "spherovem-run"
WORKER = Path(__file__).with_name("worker.sbatch")
STARTING_MINUTES = 3
"""A job that has run for less may not have taken its run yet."""
COMMAND_SECONDS = 60
LONGEST_PAUSE_SECONDS = 1800.0
"""Between looks while every job ends without a run."""


def read_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of the command line."""
    parser = argparse.ArgumentParser(description="Submit one SLURM job for each waiting run.")
    parser.add_argument("--pool", default="gpu", help="work pool (default: %(default)s)")
    parser.add_argument(
        "--most", type=int, default=8, help="jobs at a time, pending ones included (default: %(default)s)"
    )
    parser.add_argument(
        "--interval", type=float, default=30.0, help="seconds between looks (default: %(default)s)"
    )
    parser.add_argument("--once", action="store_true", help="look once and end")
    parser.add_argument("options", nargs="*", help="options of sbatch, after --")
    return parser.parse_args(given)


def jobs_to_submit(waiting: int, jobs: Sequence[tuple[str, str]], most: int) -> int:
    """Return how many jobs are missing.

    Parameters
    ----------
    waiting
        Runs that no worker has taken.
    jobs
        State and elapsed time, as ``squeue`` prints it, of each job that has not ended.
    most
        Jobs at a time.
    """
    free = sum(state != "RUNNING" or _is_starting(elapsed) for state, elapsed in jobs)
    return max(0, min(waiting - free, most - len(jobs)))


def _is_starting(elapsed: str) -> bool:
    """Return whether a job has run for few minutes; times of an hour or more have two colons, those of days a dash."""
    minutes, _, seconds = elapsed.partition(":")
    return minutes.isdecimal() and ":" not in seconds and int(minutes) < STARTING_MINUTES


def job_name(pool: str) -> str:
    """Return the name of the jobs of a work pool: those of another pool take none of its runs."""
    return f"{JOB_NAME}-{pool}"


def known_jobs(pool: str) -> list[tuple[str, str]]:
    """Return state and elapsed time of the jobs of this user for a work pool that SLURM knows."""
    text = _run("squeue", "--me", "--noheader", f"--name={job_name(pool)}", "--format=%T %M")
    return [(line.split()[0], line.split()[1]) for line in text.splitlines() if line.strip()]


def submit(pool: str, options: Sequence[str]) -> str:
    """Submit a worker for one run; return the number of its job."""
    return _run(
        "sbatch",
        "--parsable",
        f"--job-name={job_name(pool)}",
        "--output=%x-%j.log",
        f"--export=ALL,SPHEROVEM_RUN_ONCE=1,SPHEROVEM_GPU_POOL={pool}",
        *options,
        str(WORKER),
    ).strip()


def waiting_runs(pool: str) -> int:
    """Count the runs of a work pool that are due and that no worker has taken."""
    from datetime import UTC, datetime

    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return len(client.get_scheduled_flow_runs_for_work_pool(pool, scheduled_before=datetime.now(UTC)))


def _run(*command: str) -> str:
    """Run a command of SLURM and return what it prints.

    Raises
    ------
    RuntimeError
        If it fails, with its message.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(
            f"{command[0]} cannot be run ({error}); run this on a node that can submit jobs"
        ) from error
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Pace:
    """Pause between looks, which doubles while jobs end and take no run: their nodes cannot start a worker.

    Attributes
    ----------
    pause
        Seconds.
    """

    def __init__(self, interval: float) -> None:
        self._interval, self._submitted, self._waiting = interval, 0, 0
        self.pause = interval

    def note(self, waiting: int, jobs: int, submitted: int) -> bool:
        """Note what a look found and submitted; return whether the jobs of the look before have ended without a run."""
        lost = self._submitted > 0 and jobs == 0 and waiting >= self._waiting
        self.pause = (
            max(self._interval, min(LONGEST_PAUSE_SECONDS, 2 * self.pause)) if lost else self._interval
        )
        self._submitted, self._waiting = submitted, waiting
        return lost


def look(arguments: argparse.Namespace, pace: Pace) -> None:
    """Submit the jobs that are missing now."""
    waiting, jobs = waiting_runs(arguments.pool), known_jobs(arguments.pool)
    missing = jobs_to_submit(waiting, jobs, arguments.most)
    for _ in range(missing):
        print(f"submitted job {submit(arguments.pool, arguments.options)}", flush=True)
    if pace.note(waiting, len(jobs), missing):
        text = f"the last jobs ended and took no run: see their logs {job_name(arguments.pool)}-*.log"
        print(f"{text}; the next look is in {pace.pause:g} s", file=sys.stderr, flush=True)


def main() -> None:
    """Look again and again; a server or a SLURM that does not answer is asked again at the next look."""
    arguments = read_arguments()
    pace = Pace(arguments.interval)
    while True:
        try:
            look(arguments, pace)
        except Exception as error:  # the next look may find the server or SLURM again
            print(f"nothing submitted: {error}", file=sys.stderr, flush=True)
            if arguments.once:
                sys.exit(1)
        if arguments.once:
            return
        time.sleep(pace.pause)


if __name__ == "__main__":
    main()
