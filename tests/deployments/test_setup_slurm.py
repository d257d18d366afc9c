"""SLURM scripts, as far as they run without SLURM."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect_servers import Process, connected, running_server
from trivial_deployments import wait_until

from deployments.server.provisioning import ensure_work_pool

SLURM = Path(__file__).parents[2] / "deployments" / "units" / "slurm"


def test_the_options_are_in_the_job_script() -> None:
    program = (
        "import runpy, warnings; warnings.simplefilter('ignore');"
        f"script = runpy.run_path({str(SLURM / 'dask_cluster.py')!r});"
        "from dask_jobqueue.slurm import SLURMJob;"
        "given = '--cores 6 --memory 20GB --walltime 01:30:00 --queue gpu --account us'.split();"
        "options = script['cluster_options'](script['read_arguments'](given));"
        "print(SLURMJob('tcp://head:1', name='job', **options).job_script())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in ("-p gpu", "-A us", "--cpus-per-task=6", "-t 01:30:00", "--mem=19G"):
        assert f"#SBATCH {line}" in done.stdout
    assert "export OMP_NUM_THREADS=1" in done.stdout
    assert "tcp://head:1" in done.stdout


def test_the_worker_script_asks_for_the_address_of_the_server() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(
        ["bash", str(SLURM / "worker.sbatch")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "set PREFECT_API_URL to the server" in done.stderr


@pytest.mark.slow
def test_a_worker_ends_with_its_allocation(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "home") as server,
        connected(server),
        get_client(sync_client=True) as client,
    ):
        ensure_work_pool(client, "gpu", "")
        environment = server.client_environment(
            SLURM_JOB_ID="17", TMPDIR=str(tmp_path), VENV=str(Path(sys.executable).parents[1])
        )
        job = Process(["bash", str(SLURM / "worker.sbatch")], tmp_path / "job.log", environment, tmp_path)
        try:
            job.start()

            def online() -> list[str]:
                workers = client.read_workers_for_work_pool("gpu")
                return [worker.name for worker in workers if worker.status == WorkerStatus.ONLINE]

            wait_until(lambda: online() == ["slurm-17"], 120, lambda: job.output)
            assert (tmp_path / "prefect-17").is_dir()
            os.kill(job.pid, signal.SIGTERM)
            job.wait(60)
            assert not job.family()
        finally:
            job.kill_session()
