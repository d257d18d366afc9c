"""Detection of a configured Prefect server: commands run as flows only where there is one."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from deployments.server.configured import server_is_configured

URL = "http://prefect.facility:4200/api"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    for name in ("PREFECT_API_URL", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)


def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note that Prefect was asked, and answer with an address."""
    import prefect.settings

    calls: list[str] = []

    def settings() -> SimpleNamespace:
        calls.append("asked")
        return SimpleNamespace(api=SimpleNamespace(url=URL))

    monkeypatch.setattr(prefect.settings, "get_current_settings", settings)
    return calls


def test_without_settings_there_is_none_and_prefect_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = asked(monkeypatch)
    Path("pyproject.toml").write_text('[project]\ndependencies = ["prefect"]\n')
    assert not server_is_configured()
    assert not calls


def test_the_variable_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", URL)
    assert server_is_configured()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("home/profiles.toml", 'active = "facility"'),
        ("prefect.toml", "[api]"),
        (".env", f"PREFECT_API_URL={URL}"),
        ("pyproject.toml", "[tool.prefect.api]"),
    ],
)
def test_prefect_is_asked_where_a_file_may_hold_its_settings(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = asked(monkeypatch)
    file = Path(name)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert server_is_configured()
    assert calls == ["asked"]
