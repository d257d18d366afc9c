"""Certificates of a Dask cluster: who has them computes, who has none or others is refused."""

import datetime
import os
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store
from dask_clusters import LOOPBACK

from deployments.certificates import dask_options, make_certificates
from deployments.command_line.main import main
from spherovem_core.errors import ParameterError
from spherovem_core.execution import ExecutionSettings, open_executor

NO_CERTIFICATES = {f"distributed.comm.tls.{name}": None for name in ("ca-file", "client.cert", "client.key")}


def made(folder: Path, *options: str) -> Path:
    assert main(["certificates", str(folder), *options]) == 0
    return folder


@contextmanager
def using(folder: Path) -> Iterator[None]:
    """Configure Dask as the variables of a folder do, without waiting long for a scheduler."""
    with dask.config.set({**dask_options(folder), "distributed.comm.timeouts.connect": "5s"}):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("certificates") / "dask")


@pytest.fixture(scope="module")
def scheduler(folder: Path) -> Iterator[str]:
    """Run a scheduler and a worker with certificates, and yield the address."""
    from distributed import LocalCluster

    with using(folder), LocalCluster(processes=False, **{**LOOPBACK, "protocol": "tls"}) as cluster:
        yield cluster.scheduler_address


def number_of_letters(text: str) -> int:
    return len(text)


def test_all_files_are_readable_by_their_owner_alone(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"authority.pem", "member.pem", "member-key.pem", "dask.env"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_dask_env_configures_dask_in_a_shell(folder: Path) -> None:
    program = "from distributed import Security; print(Security().get_tls_config_for_role('worker'))"
    shell = f'set -a; . {folder}/dask.env; exec {sys.executable} -c "{program}"'
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    for name in ("authority.pem", "member.pem", "member-key.pem"):
        assert str(folder / name) in done.stdout


def test_the_certificate_is_valid_by_the_rules_of_the_web() -> None:
    """Also for verifiers that are stricter than Dask: names, uses, identifiers, and an authority that signs."""
    certificates = make_certificates(30, ["head", "10.0.0.1"])
    authority, member = (
        x509.load_pem_x509_certificate(each) for each in (certificates.authority, certificates.certificate)
    )
    verifier = PolicyBuilder().store(Store([authority])).build_server_verifier(x509.DNSName("head"))
    assert verifier.verify(member, []) == [member, authority]
    assert load_pem_private_key(certificates.key, None).public_key() == member.public_key()
    assert load_pem_private_key(certificates.key, None).public_key() != authority.public_key()
    valid = member.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=29) < valid < datetime.timedelta(days=31)


def test_a_client_with_certificates_computes(scheduler: str, folder: Path) -> None:
    assert scheduler.startswith("tls://127.0.0.1:")
    with using(folder), open_executor(ExecutionSettings(executor=scheduler)) as executor:
        assert list(executor.map(number_of_letters, ["a", "abc"])) == [1, 3]


def test_without_certificates_the_message_names_the_remedy(scheduler: str) -> None:
    with dask.config.set(NO_CERTIFICATES), pytest.raises(ParameterError, match="spherovem certificates"):
        open_executor(ExecutionSettings(executor=scheduler)).__enter__()


def test_certificates_of_another_cluster_are_refused(scheduler: str, tmp_path: Path) -> None:
    other = made(tmp_path / "other")
    with using(other), pytest.raises(ConnectionError, match="certificates of another"):
        open_executor(ExecutionSettings(executor=scheduler)).__enter__()


def test_an_unencrypted_client_is_refused(scheduler: str, folder: Path) -> None:
    address = scheduler.replace("tls://", "tcp://")
    with (
        using(folder),
        dask.config.set({"distributed.comm.require-encryption": False}),
        pytest.raises(ConnectionError, match="no Dask scheduler answers at tcp://"),
    ):
        open_executor(ExecutionSettings(executor=address)).__enter__()


def test_the_scheduler_itself_refuses_a_client_that_shows_no_certificate(
    scheduler: str, folder: Path
) -> None:
    """Beside Dask's own client, which asks for certificates before it connects."""
    host, port = scheduler.removeprefix("tls://").split(":")
    context = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    context.check_hostname = False
    with (
        socket.create_connection((host, int(port)), 10) as plain,
        pytest.raises(ssl.SSLError, match="certificate required"),
        context.wrap_socket(plain) as secure,
    ):
        secure.recv(1)


def test_certificates_are_not_replaced_by_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made(tmp_path / "dask")
    before = (folder / "member-key.pem").read_bytes()
    assert main(["certificates", str(folder)]) == 1
    assert "--replace" in capsys.readouterr().err
    assert (folder / "member-key.pem").read_bytes() == before
    made(folder, "--replace")
    assert (folder / "member-key.pem").read_bytes() != before
    assert stat.S_IMODE((folder / "member-key.pem").stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["certificates", str(tmp_path / "file" / "dask")]) == 1
    assert "choose another folder" in capsys.readouterr().err


def test_the_slurm_script_starts_workers_with_certificates(folder: Path) -> None:
    script = Path(__file__).parents[2] / "deployments" / "units" / "slurm" / "dask_cluster.py"
    program = (
        "import runpy, warnings; warnings.simplefilter('ignore');"
        f"script = runpy.run_path({str(script)!r});"
        "from dask_jobqueue.slurm import SLURMJob;"
        f"given = ['--cores', '2', '--memory', '4GB', '--certificates', {str(folder)!r}];"
        "options = script['cluster_options'](script['read_arguments'](given));"
        "print(SLURMJob('tls://head:1', name='job', **options).job_script())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert "--protocol tls://" in done.stdout
    for option, name in (("ca-file", "authority"), ("cert", "member"), ("key", "member-key")):
        assert f"--tls-{option} {folder / name}.pem" in done.stdout
