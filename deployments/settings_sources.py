"""Sources of the settings, each of which refuses names that are no settings."""

import difflib
import os
import tomllib
from collections.abc import Iterable

from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from spherovem_core.errors import ParameterError


class SpherovemToml(TomlConfigSettingsSource):
    """The TOML file, in which every name must be a setting."""

    def __init__(self, settings: type[BaseSettings]) -> None:
        name = settings.model_config.get("toml_file")
        try:
            super().__init__(settings)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ParameterError(f"the settings file {name} cannot be read ({error})") from error
        refuse_unknown(self.toml_data, settings, f"the settings file {name}")


def refuse_unknown_variables(settings: type[BaseSettings], dotenv: PydanticBaseSettingsSource) -> None:
    """Refuse a ``SPHEROVEM_*`` variable, or a line of ``.env``, that names no setting: most likely it is misspelt."""
    prefix = settings.model_config["env_prefix"]
    in_file = dotenv.env_vars if isinstance(dotenv, DotEnvSettingsSource) else {}
    for origin, variables in (("the environment", os.environ), ("the file .env", in_file)):
        names = [
            name.upper().removeprefix(prefix).lower() for name in variables if name.upper().startswith(prefix)
        ]
        refuse_unknown(names, settings, f"{origin} ({prefix}*)")


def refuse_unknown(names: Iterable[str], settings: type[BaseSettings], origin: str) -> None:
    """Refuse names that are no settings, and suggest the setting that may be meant.

    Raises
    ------
    ParameterError
        If there is one.
    """
    known = list(settings.model_fields)
    problems = []
    for name in names:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        problems.append(f"{name} (did you mean {close[0]}?)" if close else name)
    if problems:
        raise ParameterError(
            f"{origin} has settings that do not exist: {', '.join(problems)}; known are {', '.join(known)}"
        )
