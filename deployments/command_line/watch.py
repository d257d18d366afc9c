"""``spherovem watch``: acquisitions are processed as soon as they have landed."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationError
from pydantic_settings import CliImplicitFlag, CliVariadicArg

from deployments.command_line.arguments import Command, reading_arguments
from deployments.command_line.parameter_values import explain
from deployments.settings import Settings
from spherovem_core.errors import ParameterError


class Watch(Command):
    """Process acquisitions as soon as they have landed.

    What is complete and sound is processed once, what is broken is reported once. It hands acquisitions over to the
    deployment that SPHEROVEM_DEPLOYMENT names, on the server that PREFECT_API_URL names, and runs until it gets SIGTERM or
    Ctrl-C. One watcher serves one results root. It may be killed and started again at any moment.
    """

    group: ClassVar[str] = "Process acquisitions"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem watch --landing-folders /data/landing --results-root /data/results",
            "until Ctrl-C",
        ),
        ("spherovem watch --once", "look once, with the folders that the settings name"),
        (
            "spherovem watch --retry spheroid-7",
            "process an acquisition anew, or check it anew after a repair",
        ),
    )
    settings: ClassVar[tuple[str, ...]] = (
        "landing_folders",
        "sentinel",
        "sentinel_only",
        "scan_interval_seconds",
        "deployment",
        "parameters",
        "profiles",
        "network",
        "device",
        "executor",
        "workers",
        "stage_timeout_s",
    )

    landing_folders: CliVariadicArg[list[Path]] = Field(
        default=[],
        description="Folders in which acquisitions land; by default those of SPHEROVEM_LANDING_FOLDERS.",
        json_schema_extra={"metavar": "PATH ..."},
    )
    results_root: Path | None = Field(
        default=None, description="Folder that holds one results folder an acquisition."
    )
    settle_seconds: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="An acquisition is ready when its files have not changed for this long."
    )
    once: CliImplicitFlag[bool] = Field(
        default=False, description="Look once instead of watching; exit code 1 when something is left undone."
    )
    retry: str | None = Field(
        default=None,
        description="Name of an acquisition to check and, if it is sound, process anew; the watcher takes it up.",
        json_schema_extra={"metavar": "NAME"},
    )

    def cli_cmd(self) -> None:
        """Look at the landing folders once, or until told to end."""
        from deployments.landing.retries import request_retry
        from deployments.landing.rules import LandingRules
        from deployments.landing.watcher import scan_once, watch

        with reading_arguments():
            settings = self.chosen_settings()
            if self.retry is not None and settings.results_root is not None:
                request_retry(settings.results_root.absolute(), self.retry)
                print(f"{self.retry}: noted; it is taken up at the next look")
                if not self.once:
                    return
            rules = LandingRules.from_settings(settings)
        if self.once:
            scan_once(rules)
        else:
            watch(rules, settings.scan_interval_seconds)

    def chosen_settings(self) -> Settings:
        """Settings of this machine, under what the command line says.

        Raises
        ------
        ParameterError
            If one of them is wrong.
        """
        given: dict[str, Any] = {
            "landing_folders": tuple(self.landing_folders) or None,
            "results_root": self.results_root,
            "settle_seconds": self.settle_seconds,
        }
        try:
            return Settings(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise ParameterError(explain(error, Settings)) from error
