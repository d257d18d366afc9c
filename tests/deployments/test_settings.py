"""Settings come from the environment, .env and a TOML file; a wrong one is named in the message."""

from pathlib import Path

import pytest

from deployments.settings import Settings, read_settings
from spherovem_core.errors import ParameterError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_environment_precedes_dotenv_and_dotenv_precedes_toml(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("spherovem.toml").write_text(
        'landing_folders = ["/data/one", "/data/two"]\nsettle_seconds = 10\nscan_interval_seconds = 20\n'
        'gpu_pool = "a100"\n[profiles]\n"/data/two" = "two.yaml"\n'
    )
    Path(".env").write_text(
        "PREFECT_API_URL=http://head\nSPHEROVEM_SCAN_INTERVAL_SECONDS=30\nSPHEROVEM_GPU_POOL=h100\n"
    )
    monkeypatch.setenv("SPHEROVEM_GPU_POOL", "b200")
    settings = read_settings()
    assert settings.landing_folders == (Path("/data/one"), Path("/data/two"))
    assert settings.profiles == {Path("/data/two"): Path("two.yaml").absolute()}
    assert (settings.settle_seconds, settings.scan_interval_seconds) == (10, 30)
    assert settings.gpu_pool == "b200"


@pytest.mark.parametrize("value", ["/data/a b:/data/ü", '["/data/a b", "/data/ü"]'])
def test_landing_folders_are_a_path_list_or_json(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPHEROVEM_LANDING_FOLDERS", value)
    assert Settings().landing_folders == (Path("/data/a b"), Path("/data/ü"))


def test_relative_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPHEROVEM_LANDING_FOLDERS", "here/../landing")
    monkeypatch.setenv("SPHEROVEM_PROFILES", '{"landing": "fast.yaml"}')
    assert Settings().profiles == {tmp_path / "landing": tmp_path / "fast.yaml"}


def test_every_setting_is_described_and_has_a_default() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SETTLE_SECONDS", "0", "settle_seconds: input should be greater than 0"),
        ("SENTINEL", "a/b", "sentinel: string should match"),
        ("SENTINEL", "..", "expected the name of a file"),
        ("DEPLOYMENT", "on-landing", "deployment: string should match"),
        ("EXECUTOR", "slurm", "executor: string should match"),
        ("LANDING_FOLDERS", "/data:/data/inner", "/data and /data/inner lie one inside the other"),
        ("LANDING_FOLDERS", "/results/landing", "the results root /results lie one inside the other"),
        ("LANDING_FOLDERS", "/", "results would be taken for acquisitions"),
        ("LANDING_FOLDERS", "[1", "expected something like"),
        ("PROFILES", '{"/data/b": "b.yaml"}', "/data/b is not among landing_folders (none)"),
        ("PROFILES", "fast.yaml", "profiles: not JSON"),
        ("SETTLE_SECOND", "5", "settle_second (did you mean settle_seconds?)"),
    ],
)
def test_the_message_names_the_wrong_setting(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPHEROVEM_RESULTS_ROOT", "/results")
    monkeypatch.setenv(f"SPHEROVEM_{name}", value)
    with pytest.raises(ParameterError) as raised:
        read_settings()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_misspelt_line_of_dotenv_is_refused() -> None:
    Path(".env").write_text("SPHEROVEM_RESULT_ROOT=/data\nPREFECT_API_URL=http://head\n")
    with pytest.raises(ParameterError, match=r"\.env .*result_root \(did you mean results_root\?\)"):
        read_settings()


@pytest.mark.parametrize(
    ("text", "message"), [("landing = []", "landing (did you mean"), ("settle_seconds =", "cannot be read")]
)
def test_a_wrong_toml_file_is_refused(text: str, message: str) -> None:
    Path("spherovem.toml").write_text(text)
    with pytest.raises(ParameterError, match=r"settings file .*spherovem.toml") as raised:
        read_settings()
    assert message in str(raised.value)
