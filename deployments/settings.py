"""Settings of this machine: folders, execution of stages, watching of landing folders. They change no result."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from deployments.settings_sources import SpherovemToml, refuse_unknown_variables
from spherovem_core.errors import ParameterError
from spherovem_core.execution import BlockHaloVoxels, BlockVoxels, ExecutionSettings, StorageMode
from spherovem_core.overrides import explain
from spherovem_core.urls import SCHEMES, is_remote


class Settings(BaseSettings):
    """Settings from ``SPHEROVEM_*`` variables, then ``.env``, then ``spherovem.toml`` of the working directory."""

    model_config = SettingsConfigDict(
        env_prefix="SPHEROVEM_",
        env_file=".env",
        toml_file="spherovem.toml",
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
    )

    results_root: Path | None = Field(
        default=None, description="Folder that holds one results folder per acquisition."
    )
    network: str = Field(
        default="cpsam_v2", min_length=1, description="Network that segments cells and nuclei."
    )
    parameters: Path | None = Field(
        default=None, description="YAML file of parameters that differ from the defaults."
    )
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Device: auto, cpu, cuda or cuda:n."
    )
    executor: str = Field(
        default="threads",
        pattern=r"^(threads|processes|[a-z]+://.+)$",
        description="threads, processes, or the address of a Dask scheduler, such as tcp://head:8786.",
    )
    workers: int | None = Field(
        default=None, ge=1, le=1024, description="Workers per stage. Left empty, every core."
    )
    stage_timeout_s: float | None = Field(
        default=None, gt=0.0, description="Time limit of a stage in seconds. Left empty, none."
    )
    block_voxels: BlockVoxels = 256
    block_halo_voxels: BlockHaloVoxels = 64
    storage: StorageMode = "lean"
    landing_folders: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(),
        description="Folders or buckets in which acquisitions land, as FOLDER:FOLDER or as a JSON list.",
    )
    profiles: Annotated[dict[Path, Path], NoDecode] = Field(
        default={},
        description="Parameters file of each landing folder, applied over the common one: a JSON object of folder to YAML file.",
    )
    settle_seconds: float = Field(
        default=300.0,
        gt=0.0,
        le=7 * 24 * 3600,
        description="An acquisition is ready when its files have not changed for this long.",
    )
    sentinel: str = Field(
        default="COMPLETE",
        pattern=r"^[^/\\\x00]+$",
        max_length=100,
        description="Name of the file that marks an acquisition as complete: in its folder, or FILE.<sentinel> beside a file.",
    )
    sentinel_only: bool = Field(
        default=False,
        description="Only the sentinel makes an acquisition ready, however long its files stay unchanged.",
    )
    scan_interval_seconds: float = Field(
        default=60.0,
        gt=0.0,
        le=24 * 3600,
        description="Longest time between two scans of the landing folders, with or without file events.",
    )
    deployment: str = Field(
        default="process-acquisition/on-landing",
        pattern=r"^[^/]+/[^/]+$",
        description="Deployment that processes acquisitions that have landed, as FLOW/DEPLOYMENT.",
    )
    gpu_pool: str = Field(default="gpu", min_length=1, description="Work pool of the workers with a GPU.")
    cpu_pool: str = Field(default="cpu", min_length=1, description="Work pool of the workers without a GPU.")

    @field_validator("landing_folders", mode="before")
    @classmethod
    def _split_folders(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return _read_json(value, '["/data/microscope", "/data/other"]')
        return tuple(split_folders(value))

    @field_validator("profiles", mode="before")
    @classmethod
    def _read_profiles(cls, value: Any) -> Any:
        return (
            _read_json(value, '{"/data/microscope": "/etc/fast.yaml"}') if isinstance(value, str) else value
        )

    @field_validator("sentinel")
    @classmethod
    def _sentinel_is_a_file(cls, value: str) -> str:
        if value in (".", ".."):
            raise ValueError("this is a folder; expected the name of a file")
        return value

    @field_validator("landing_folders")
    @classmethod
    def _folders_are_apart(cls, folders: tuple[Path, ...], info: ValidationInfo) -> tuple[Path, ...]:
        folders = tuple(_absolute(folder) for folder in folders)
        for place, folder in enumerate(folders):
            for other in folders[:place]:
                if _overlap(folder, other):
                    raise ValueError(
                        f"{other} and {folder} lie one inside the other; expected separate folders"
                    )
        root = info.data.get("results_root")
        inside = next(
            (folder for folder in folders if root and _overlap(folder, Path(root).absolute())), None
        )
        if inside is not None:
            raise ValueError(
                f"{inside} and the results root {root} lie one inside the other, so that results would be taken for "
                "acquisitions; expected separate folders"
            )
        return folders

    @field_validator("profiles")
    @classmethod
    def _profiles_have_folders(cls, profiles: dict[Path, Path], info: ValidationInfo) -> dict[Path, Path]:
        known = info.data.get("landing_folders", ())
        profiles = {_absolute(folder): _absolute(file) for folder, file in profiles.items()}
        unknown = [str(folder) for folder in profiles if folder not in known]
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)} is not among landing_folders ({', '.join(map(str, known)) or 'none'})"
            )
        return profiles

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the TOML file last, and refuse names that are no settings."""
        refuse_unknown_variables(settings_cls, dotenv_settings)
        return init_settings, env_settings, dotenv_settings, SpherovemToml(settings_cls)

    def execution(self, **overrides: object) -> ExecutionSettings:
        """Return the execution settings; an override of None keeps the setting."""
        own = {
            "device": self.device,
            "executor": self.executor,
            "workers": self.workers,
            "stage_timeout_s": self.stage_timeout_s,
            "block_voxels": self.block_voxels,
            "block_halo_voxels": self.block_halo_voxels,
            "storage": self.storage,
        }
        return ExecutionSettings.model_validate(
            own | {name: value for name, value in overrides.items() if value is not None}
        )


def read_settings(**given: Any) -> Settings:
    """Read the settings of this machine, under the given ones; None counts as not given.

    Raises
    ------
    ParameterError
        If one of them is wrong.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise ParameterError(explain(error, Settings)) from error


def split_folders(text: str) -> Iterator[str]:
    """Split a list of folders at its colons; the colon of a URL separates nothing."""
    parts = iter(text.split(os.pathsep))
    for part in parts:
        if part in SCHEMES:
            part += f"{os.pathsep}{next(parts, '')}"
        if part:
            yield part


def _absolute(path: Path) -> Path:
    """Make a path absolute without following links: a landing folder may be one."""
    return path if is_remote(path) else Path(os.path.normpath(path.expanduser().absolute()))


def _overlap(one: Path, other: Path) -> bool:
    if is_remote(one) != is_remote(other):
        return False
    if not is_remote(one):
        one, other = one.resolve(), other.resolve()
    return one.is_relative_to(other) or other.is_relative_to(one)


def _read_json(text: str, example: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"not JSON ({error}); expected something like {example}") from error
