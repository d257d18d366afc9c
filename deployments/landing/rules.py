"""Rules of the watcher, checked before it starts."""

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

# A copy tool may bring the sentinel before the last slice: without a pause a run would start on half an acquisition.
SENTINEL_SETTLE_S = 5.0


@dataclass(frozen=True)
class LandingRules:
    """Landing folders, and when and how acquisitions in them are processed.

    Attributes
    ----------
    results_root, folders
        Results root and landing folders, as absolute paths.
    settle_seconds
        Time without a change after which an acquisition is ready.
    sentinel, sentinel_only
        Name of the file that marks an acquisition as complete; whether only that file makes it ready.
    deployment
        Deployment that processes it, as FLOW/DEPLOYMENT.
    parameter_files
        Parameter files of each landing folder; a later file overrides an earlier one.
    network
        Segmentation network; the parameter files override it.
    execution
        Execution settings of the runs.
    profiles
        Landing folders with a parameters file of their own.
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
    profiles: tuple[Path, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> "LandingRules":
        """Take the rules from the settings.

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
            profiles=tuple(profiles),
        )
        for folder in rules.folders:
            rules.parameters(folder)
        return rules

    def parameters(self, landing: Path) -> PipelineParameters:
        """Read the parameters for acquisitions in a landing folder.

        Raises
        ------
        ParameterError
            If a parameter file cannot be read or holds a wrong parameter.
        """
        overrides: list[Overrides] = [with_network(self.network)]
        overrides += [read_overrides(path) for path in self.parameter_files[landing]]
        return build_parameters(overrides)

    def settling_seconds(self, *, marked: bool) -> float | None:
        """Return how long files must stay unchanged, with a new sentinel or without; None if only a sentinel helps."""
        if marked:
            return min(self.settle_seconds, SENTINEL_SETTLE_S)
        return None if self.sentinel_only else self.settle_seconds

    def flow_parameters(self, name: str, source: str, landing: Path) -> dict[str, Any]:
        """Return the flow's parameters for an acquisition, as JSON."""
        return {
            "acquisition": {"name": name, "source": source, "results_root": str(self.results_root)},
            "parameters": self.parameters(landing).model_dump(mode="json"),
            "execution": self.execution.model_dump(mode="json"),
        }
