"""Containers of server and database: closed by default, of the versions that are tested, valid for Compose.

`test_postgresql.py` runs a server with the environment of this file.
"""

import json
import re
import subprocess
from pathlib import Path

import prefect.settings
import pytest
import yaml
from compose_files import COMPOSE, ENVIRONMENT, PASSWORDS, services
from foreign_environments import make_environment

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("missing", PASSWORDS)
def test_without_a_password_nothing_starts(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        services({**PASSWORDS, missing: ""})


def test_the_template_names_every_variable_and_holds_no_password() -> None:
    named = set(re.findall(r"^#?([A-Z_]+)=", ENVIRONMENT.read_text(), re.MULTILINE))
    assert named - {"COMPOSE_PROJECT_NAME"} == set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", ENVIRONMENT.read_text(), re.MULTILINE))
    assert {name: values[name] for name in PASSWORDS} == dict.fromkeys(PASSWORDS, "")
    with pytest.raises(KeyError, match="PASSWORD"):
        services(values)


def test_the_server_is_on_loopback_and_the_database_on_no_port() -> None:
    found = services()
    assert found["server"]["ports"] == ["127.0.0.1:4200:4200"]
    assert "ports" not in found["database"]
    assert found["database"]["networks"] == ["database"]
    assert yaml.safe_load(COMPOSE.read_text())["networks"]["database"] == {"internal": True}


def test_the_server_wants_a_password_and_refuses_other_pages() -> None:
    environment = services()["server"]["environment"]
    assert environment["PREFECT_SERVER_API_AUTH_STRING"] == "spherovem:d4e5f6"
    assert environment["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200"
    assert environment["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"
    elsewhere = services({**PASSWORDS, "SERVER_ADDRESS": "http://head:4200"})["server"]["environment"]
    assert elsewhere["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] == "http://head:4200"
    assert elsewhere["PREFECT_SERVER_UI_API_URL"] == "http://head:4200/api"


def test_images_are_pinned_and_the_server_is_the_tested_prefect() -> None:
    images = {name: service["image"] for name, service in services().items()}
    for image in images.values():
        assert re.fullmatch(r"docker\.io/[a-z]+/[a-z]+:\d+(\.\d+)+(-python3\.\d+)?", image)
    pin = re.search(r"^prefect==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pin is not None
    assert images["server"].partition(":")[2].startswith(f"{pin[1]}-")


def test_data_outlast_the_containers_and_both_are_watched() -> None:
    found = services()
    assert found["database"]["volumes"] == ["database:/var/lib/postgresql/data"]
    assert found["server"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for service in found.values():
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["restart"] == "unless-stopped"


def test_every_prefect_setting_of_the_containers_exists() -> None:
    names = {name for name in services()["server"]["environment"] if name.startswith("PREFECT_SERVER_")}
    assert len(names) > 5
    assert {name for name in names if not hasattr(prefect.settings, name)} == set()


@pytest.mark.environment
def test_the_file_is_valid_by_the_schema_of_compose(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv", "check-jsonschema")
    damaged = tmp_path / "damaged.yaml"
    damaged.write_text(COMPOSE.read_text().replace("healthcheck:", "healthchek:", 1))
    results = []
    for file in (COMPOSE, damaged):
        command = [python.with_name("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
        done = subprocess.run(
            [*command, "--output-format", "json", file], capture_output=True, text=True, check=False
        )
        results.append(json.loads(done.stdout)["status"])
    assert results == ["ok", "fail"]
