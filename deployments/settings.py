"""Settings of this machine: where things lie and how stages run. None of it changes a result."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from spherovem_core.execution import ExecutionSettings


class Settings(BaseSettings):
    """Read from ``SPHEROVEM_*`` variables, then ``.env``, then ``spherovem.toml`` of the working directory."""

    model_config = SettingsConfigDict(
        env_prefix="SPHEROVEM_", env_file=".env", toml_file="spherovem.toml", extra="ignore", frozen=True
    )

    results_root: Path | None = Field(
        default=None, description="Folder that holds one results folder an acquisition."
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
    executor: Literal["threads", "processes"] | str = Field(
        default="threads", description="threads, processes, or the address of a Dask scheduler."
    )
    workers: int = Field(default=0, ge=0, le=1024, description="Workers a stage; 0 takes every core.")
    stage_timeout_s: float = Field(
        default=0.0, ge=0.0, description="Time limit of a stage in seconds; 0 is none."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the TOML file last."""
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)

    def execution(self, **overrides: object) -> ExecutionSettings:
        """Execution settings; an override of None keeps the setting."""
        own = {
            "device": self.device,
            "executor": self.executor,
            "workers": self.workers,
            "stage_timeout_s": self.stage_timeout_s,
        }
        return ExecutionSettings.model_validate(
            own | {name: value for name, value in overrides.items() if value is not None}
        )
