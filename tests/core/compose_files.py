"""The file of the containers, read as Docker Compose reads it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deployments" / "units" / "compose"
COMPOSE, ENVIRONMENT = FOLDER / "compose.yaml", FOLDER / "compose.env"
PASSWORDS = {"DATABASE_PASSWORD": "a1b2c3", "SERVER_PASSWORD": "d4e5f6"}
VARIABLE = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")


def services(variables: Mapping[str, str] = PASSWORDS) -> dict[str, Any]:
    """Return the services by name, with variables put in.

    Raises
    ------
    KeyError
        If a variable that has no default is not set.
    """

    def value(found: re.Match[str]) -> str:
        name, operator, default = found.groups()
        if operator == "?" and not variables.get(name):
            raise KeyError(name)
        return variables.get(name) or default

    document: dict[str, Any] = yaml.safe_load(VARIABLE.sub(value, COMPOSE.read_text()))
    return document["services"]
