"""Promises of `docs/security.md` that no other test checks: nothing that is read runs code, services are closed by default."""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.run_parameters import read_overrides
from spherovem_core.errors import ParameterError

ROOT = Path(__file__).parents[2]
PACKAGES = ("spherovem_core", "tasks", "flows", "deployments")
UNITS = ROOT / "deployments" / "units" / "systemd"
GUIDE = (ROOT / "deployments" / "README.md").read_text()
FORBIDDEN = {
    "pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads", "joblib.load", "marshal.loads", "shelve.open",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "eval", "exec",
}  # fmt: skip


def dangers(source: str) -> Iterator[str]:
    """Yield the calls that run what they read: loaders of objects, evaluation of text, shells."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, options = ast.unparse(node.func), {each.arg: ast.unparse(each.value) for each in node.keywords}
        if (
            name in FORBIDDEN
            or (name == "torch.load" and options.get("weights_only") != "True")
            or options.get("allow_pickle", "False") != "False"
            or options.get("shell", "False") != "False"
        ):
            yield f"{node.lineno}: {ast.unparse(node)[:80]}"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_loader_of_this_code_runs_what_it_reads(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{danger}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for danger in dangers(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pickle.loads(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run(command, shell=True)",
        "eval(text)",
    ],
)
def test_each_dangerous_loader_is_found(line: str) -> None:
    assert len(list(dangers(line))) == 1


@pytest.mark.parametrize(
    "text", ['!!python/object/apply:os.mkdir ["{mark}"]', 'ingest: !!python/object/apply:os.mkdir ["{mark}"]']
)
def test_a_parameters_file_runs_no_code(tmp_path: Path, text: str) -> None:
    file, mark = tmp_path / "parameters.yaml", tmp_path / "owned"
    file.write_text(text.format(mark=mark))
    with pytest.raises(ParameterError):
        read_overrides(file)
    assert not mark.exists()


def test_the_server_unit_wants_a_password_and_refuses_other_pages() -> None:
    text = (UNITS / "spherovem-server.service").read_text()
    # Without a dash before the path the service does not start where the file is missing.
    assert "\nEnvironmentFile=/etc/spherovem/server.env\n" in text
    assert re.search(r"PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS=http://127\.0\.0\.1:4200\b", text)
    assert "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED=true" in text
    assert "PREFECT_SERVER_API_HOST" not in text
    for file in ("server.env", "spherovem.env"):
        assert re.search(
            r"^PREFECT_(SERVER_)?API_AUTH_STRING=spherovem:PASSWORD$", (UNITS / file).read_text(), re.M
        )


@pytest.mark.parametrize(
    ("password", "starts"),
    [
        (None, False),
        ("", False),
        ("spherovem:", False),
        ("spherovem:PASSWORD", False),
        ("spherovem:0a1b", True),
    ],
)
def test_the_server_unit_does_not_start_with_the_password_of_the_template(
    password: str | None, starts: bool
) -> None:
    text = (UNITS / "spherovem-server.service").read_text()
    (line,) = re.findall(r"^ExecStartPre=(.*)$", text, re.M)
    environment = {} if password is None else {"PREFECT_SERVER_API_AUTH_STRING": password}
    command = shlex.split(line.replace("$$", "$"))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is starts
    assert ("no password: put the same one into server.env" in done.stderr) is not starts


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda unit: unit.name)
def test_services_gain_no_rights_and_share_no_temporary_files(unit: Path) -> None:
    text = unit.read_text()
    for line in ("User=spherovem", "NoNewPrivileges=true", "PrivateTmp=true"):
        assert f"\n{line}\n" in text


def test_files_with_passwords_are_installed_for_their_owner_alone() -> None:
    installed = [line for line in GUIDE.splitlines() if re.search(r"(install|cp) .*\.env\b", line)]
    assert len(installed) == 2
    assert all("install -m 600 " in line for line in installed)
