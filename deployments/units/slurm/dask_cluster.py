"""Dask cluster of SLURM jobs, for the blocks of one large acquisition or for a backlog of many acquisitions.

    pip install dask-jobqueue
    python deployments/units/slurm/dask_cluster.py --jobs 8 --cores 8 --memory 32GB --walltime 12:00:00

With ``--certificates FOLDER`` (of ``spherovem certificates``) it speaks TLS. It prints the scheduler's address and keeps the
cluster until it is interrupted. Pass the address as the setting SPHEROVEM_EXECUTOR (blocks of one acquisition) or as the
parameter `scheduler` of the flow process-backlog.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dask

from deployments.certificates import dask_options

WORKER_ENVIRONMENT = (
    "export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE",
    "export PYTHONSAFEPATH=1",
    "export PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1",
)

DASHBOARD = "127.0.0.1:8787"
"""Address of the scheduler's page of a cluster with certificates."""


def read_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of the command line."""
    parser = argparse.ArgumentParser(description="Run a Dask cluster of SLURM jobs until interrupted.")
    parser.add_argument("--jobs", type=int, default=4, help="jobs to submit (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=8, help="cores per job (default: %(default)s)")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="Dask workers per job, which share its cores (default: %(default)s)",
    )
    parser.add_argument("--memory", default="32GB", help="memory per job (default: %(default)s)")
    parser.add_argument("--walltime", default="12:00:00", help="time limit of a job (default: %(default)s)")
    parser.add_argument("--queue", default=None, help="partition")
    parser.add_argument("--account", default=None, help="account that is charged")
    parser.add_argument(
        "--certificates",
        type=Path,
        default=None,
        help="folder of `spherovem certificates`, on all nodes: scheduler and workers encrypt and refuse all others",
    )
    parser.add_argument("--interface", default=None, help="network device of the nodes, such as ib0")
    return parser.parse_args(given)


def cluster_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `dask_jobqueue.SLURMCluster` that are also those of its jobs."""
    chosen = {
        "cores": arguments.cores,
        "processes": arguments.processes,
        "memory": arguments.memory,
        "walltime": arguments.walltime,
        "queue": arguments.queue,
        "account": arguments.account,
        "interface": arguments.interface,
        "job_script_prologue": list(WORKER_ENVIRONMENT),
    }
    if arguments.certificates is not None:
        chosen |= {"protocol": "tls://", "security": security(arguments.certificates)}
        # Dashboards would show the work to whoever reaches their ports: they know neither certificates nor a password.
        chosen |= {"worker_extra_args": ["--no-dashboard"]}
    return {name: value for name, value in chosen.items() if value is not None}


def scheduler_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the scheduler, over those of the site: with certificates its page is on loopback alone."""
    own = dask.config.get("jobqueue.slurm.scheduler-options", None) or {}
    if arguments.certificates is None:
        return dict(own)
    return {**own, "dashboard": False, "dashboard_address": DASHBOARD}


def security(folder: Path) -> Any:
    """Return Dask's security with the certificates of a folder."""
    from distributed import Security

    with dask.config.set(dask_options(folder.absolute())):
        return Security()


def main() -> None:
    """Start the cluster, print its address, wait."""
    arguments = read_arguments()
    from dask_jobqueue import SLURMCluster

    options = {**cluster_options(arguments), "scheduler_options": scheduler_options(arguments)}
    with SLURMCluster(**options) as cluster:
        cluster.scale(jobs=arguments.jobs)
        print(cluster.scheduler_address, flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
