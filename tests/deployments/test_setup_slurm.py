"""SLURM scripts, as far as they run without SLURM."""

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect_servers import Process, connected, running_server
from trivial_deployments import deploy_trivial_flow, wait_until

from deployments.certificates import make_certificates, write_certificates
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


def test_a_cluster_with_certificates_shows_nothing_of_its_work_on_the_network(tmp_path: Path) -> None:
    write_certificates(tmp_path, make_certificates(1))
    program = (
        "import runpy, warnings; warnings.simplefilter('ignore');"
        f"script = runpy.run_path({str(SLURM / 'dask_cluster.py')!r});"
        "from dask_jobqueue import SLURMCluster;"
        f"given = script['read_arguments'](['--certificates', {str(tmp_path)!r}]);"
        "options, scheduler = script['cluster_options'](given), script['scheduler_options'](given);"
        "cluster = SLURMCluster(**options, scheduler_options=scheduler);"
        "sockets = cluster.scheduler.http_server._sockets.values();"
        "print('http', {each.getsockname()[0] for each in sockets});"
        "print(cluster.scheduler_address, cluster.job_script()); cluster.close()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "http {'127.0.0.1'}\ntls://" in done.stdout
    assert "--no-dashboard" in done.stdout


def test_the_worker_script_asks_for_the_address_of_the_server() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(
        ["bash", str(SLURM / "worker.sbatch")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "set PREFECT_API_URL to the server" in done.stderr


@pytest.mark.parametrize(
    ("waiting", "jobs", "missing"),
    [
        (0, [], 0),
        (3, [], 3),
        (3, [("PENDING", "0:00"), ("CONFIGURING", "0:01")], 1),
        # It has not taken its run yet, or has long been at one.
        (1, [("RUNNING", "0:40")], 0),
        (1, [("RUNNING", "5:40")], 1),
        (1, [("RUNNING", "1:02:03")], 1),
        (1, [("RUNNING", "1-00:00:05")], 1),
        (9, [("RUNNING", "40:00")] * 6, 2),
        (9, [("RUNNING", "40:00")] * 9, 0),
    ],
)
def test_jobs_follow_from_waiting_runs_and_known_jobs(
    waiting: int, jobs: list[tuple[str, str]], missing: int
) -> None:
    script = runpy.run_path(str(SLURM / "job_per_run.py"))
    assert script["jobs_to_submit"](waiting, jobs, 8) == missing


def make_command(folder: Path, name: str, body: str) -> None:
    place = folder / name
    place.write_text(f"#!/bin/bash\n{body}\n")
    place.chmod(0o755)


def look_once(folder: Path, waiting: int) -> "subprocess.CompletedProcess[str]":
    """Run the script for one look, with commands of SLURM from a folder and a number of waiting runs."""
    program = (
        "import runpy, sys;"
        f"sys.argv = ['job_per_run', '--once', '--pool', 'own', '--', '--account=us'];"
        f"script = runpy.run_path({str(SLURM / 'job_per_run.py')!r});"
        f"script['look'].__globals__['waiting_runs'] = lambda pool: {waiting};"
        "script['main']()"
    )
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )


def test_each_waiting_run_gets_a_job_with_a_worker_for_one_run(tmp_path: Path) -> None:
    make_command(tmp_path, "squeue", "echo 'PENDING 0:00'")
    make_command(tmp_path, "sbatch", f'echo "$@" >> {tmp_path}/submitted; echo 17')
    done = look_once(tmp_path, 3)
    assert (done.returncode, done.stdout) == (0, "submitted job 17\n" * 2)
    lines = (tmp_path / "submitted").read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].split() == [
        "--parsable",
        "--job-name=spherovem-run-own",
        "--output=%x-%j.log",
        "--export=ALL,SPHEROVEM_RUN_ONCE=1,SPHEROVEM_GPU_POOL=own",
        "--account=us",
        str(SLURM / "worker.sbatch"),
    ]


def test_looks_become_rare_while_jobs_end_without_a_run() -> None:
    """A node that cannot start a worker got new jobs for ever, every half minute."""
    pace = runpy.run_path(str(SLURM / "job_per_run.py"))["Pace"](30.0)
    pauses = []
    for _ in range(9):
        pace.note(3, 0, 3)
        pauses.append(pace.pause)
    assert pauses == [30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0, 1800.0]
    assert not pace.note(2, 0, 2), "a run was taken, and has ended"
    assert pace.pause == 30.0
    assert not pace.note(2, 2, 0), "jobs wait"
    assert pace.pause == 30.0


def test_jobs_of_another_pool_take_no_runs_of_this_one(tmp_path: Path) -> None:
    """They counted as jobs that wait for this pool's runs, so that none was submitted."""
    make_command(
        tmp_path, "squeue", 'case "$*" in *--name=spherovem-run-own\\ *) ;; *) echo "PENDING 0:00";; esac'
    )
    make_command(tmp_path, "sbatch", "echo 17")
    done = look_once(tmp_path, 1)
    assert (done.returncode, done.stdout) == (0, "submitted job 17\n")


def test_a_refusal_of_slurm_is_said(tmp_path: Path) -> None:
    make_command(tmp_path, "squeue", "")
    make_command(tmp_path, "sbatch", "echo 'sbatch: error: invalid account' >&2; exit 1")
    done = look_once(tmp_path, 1)
    assert done.returncode == 1
    assert "nothing submitted: sbatch failed: sbatch: error: invalid account" in done.stderr


@pytest.mark.parametrize(("once", "expected"), [("1", " --run-once"), ("", "")])
def test_the_worker_ends_with_its_run_if_it_was_submitted_for_one(
    tmp_path: Path, once: str, expected: str
) -> None:
    (tmp_path / "bin").mkdir()
    make_command(tmp_path / "bin", "prefect", 'echo "$@"')
    for name in ("prefect-5", "prefect-6", "prefect-own"):
        (tmp_path / name).mkdir()
    for name in ("prefect-5", "prefect-own"):
        os.utime(tmp_path / name, (0, 0))
    environment = {
        **os.environ,
        "PREFECT_API_URL": "http://head:4200/api",
        "SLURM_JOB_ID": "17",
        "TMPDIR": str(tmp_path),
        "VENV": str(tmp_path),
        "SPHEROVEM_GPU_POOL": "own",
        "SPHEROVEM_RUN_ONCE": once,
    }
    done = subprocess.run(
        ["bash", str(SLURM / "worker.sbatch")], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"worker start --pool own --name slurm-17 --limit 1{expected}"
    homes = sorted(path.name for path in tmp_path.glob("prefect-*"))
    assert homes == ["prefect-17", "prefect-6", "prefect-own"], "the home of a job of long ago stays for ever"


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


@pytest.mark.slow
def test_a_job_for_one_run_takes_one_and_ends(tmp_path: Path) -> None:
    count = runpy.run_path(str(SLURM / "job_per_run.py"))["waiting_runs"]
    with (
        running_server(tmp_path / "home") as server,
        connected(server),
        get_client(sync_client=True) as client,
    ):
        ensure_work_pool(client, "gpu", "")
        deployment = client.read_deployment_by_name(deploy_trivial_flow(client, "gpu"))
        for name in ("one", "two"):
            client.create_flow_run_from_deployment(deployment.id, parameters={"folder": str(tmp_path / name)})
        assert count("gpu") == 2
        environment = server.client_environment(
            SLURM_JOB_ID="17",
            TMPDIR=str(tmp_path),
            VENV=str(Path(sys.executable).parents[1]),
            SPHEROVEM_RUN_ONCE="1",
        )
        job = Process(["bash", str(SLURM / "worker.sbatch")], tmp_path / "job.log", environment, tmp_path)
        try:
            job.start()
            job.wait(240)
        finally:
            job.kill_session()
        assert count("gpu") == 1, job.output
        assert [(tmp_path / name / "runs").exists() for name in ("one", "two")].count(True) == 1, job.output
