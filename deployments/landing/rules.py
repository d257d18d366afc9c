"""What the watcher goes by, settled before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.run_parameters import build_parameters, read_overrides, with_network
from deployments.settings import Settings
from spherovem_core.errors import ParameterError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.overrides import Overrides
from spherovem_core.parameters import PipelineParameters

# A sentinel that a copy tool brings before the last slice must not start half an acquisition.
SENTINEL_SETTLE_S = 5.0


@dataclass(frozen=True)
class LandingRules:
    """Where acquisitions land, when they are ready and how they are processed.

    Attributes
    ----------
    results_root, folders
        Absolute paths.
    settle_seconds
        Stillness that makes an acquisition ready.
    sentinel, sentinel_only
        Name of the file that makes it ready at once; whether nothing else does.
    deployment
        What processes it.
    parameter_files
        Files of parameters of each landing folder, the later over the earlier.
    network
        Network that segments, under the parameter files.
    execution
        How its stages run.
    """

    results_root: Path
    folders: tuple[Path, ...]
    settle_seconds: float
    sentinel: str
    sentinel_only: bool
    deployment: str
    parameter_files: Mapping[Path, tuple[Path, ...]]
    network: str
    execution: ExecutionSettings

    @classmethod
    def from_settings(cls, settings: Settings) -> "LandingRules":
        """Take them from the settings.

        Raises
        ------
        ParameterError
            If landing folders or results root are not set, or a parameters file is wrong.
        """
        if not settings.landing_folders:
            raise ParameterError(
                "no landing folder: give --landing-folders FOLDER or set SPHEROVEM_LANDING_FOLDERS"
            )
        if settings.results_root is None:
            raise ParameterError("no results root: give --results-root DIR or set SPHEROVEM_RESULTS_ROOT")
        common = () if settings.parameters is None else (settings.parameters.absolute(),)
        profiles = settings.profiles
        rules = cls(
            results_root=settings.results_root.absolute(),
            folders=settings.landing_folders,
            settle_seconds=settings.settle_seconds,
            sentinel=settings.sentinel,
            sentinel_only=settings.sentinel_only,
            deployment=settings.deployment,
            parameter_files={
                folder: (*common, profiles[folder]) if folder in profiles else common
                for folder in settings.landing_folders
            },
            network=settings.network,
            execution=settings.execution(),
        )
        for folder in rules.folders:
            rules.parameters(folder)
        return rules

    def parameters(self, landing: Path) -> PipelineParameters:
        """Parameters of what lands in a folder, as its files say now.

        Raises
        ------
        ParameterError
            If one of the files cannot be read or holds something wrong.
        """
        overrides: list[Overrides] = [with_network(self.network)]
        overrides += [read_overrides(path) for path in self.parameter_files[landing]]
        return build_parameters(overrides)

    def settling_seconds(self, *, marked: bool) -> float | None:
        """For how long the files must not have changed, with a sentinel or without; None when that is no reason."""
        if marked:
            return min(self.settle_seconds, SENTINEL_SETTLE_S)
        return None if self.sentinel_only else self.settle_seconds

    def flow_parameters(self, name: str, source: str, landing: Path) -> dict[str, Any]:
        """Parameters of the flow that processes an acquisition, as JSON."""
        return {
            "acquisition": {"name": name, "source": source, "results_root": str(self.results_root)},
            "parameters": self.parameters(landing).model_dump(mode="json"),
            "execution": self.execution.model_dump(mode="json"),
        }
