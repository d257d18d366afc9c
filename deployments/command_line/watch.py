"""``spherovem watch``: a watcher that hands over acquisitions as soon as they have landed."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic_settings import CliImplicitFlag, CliVariadicArg

from deployments.command_line.arguments import Command, reading_arguments
from deployments.settings import Settings, read_settings


class Watch(Command):
    """Process acquisitions as soon as they have landed.

    A complete and sound acquisition is processed once, a broken one is reported once. The watcher hands acquisitions over
    to the deployment that SPHEROVEM_DEPLOYMENT names, on the server that PREFECT_API_URL names, and runs until it gets
    SIGTERM or Ctrl-C. One watcher serves one results root. It may be killed and started again at any time.
    """

    group: ClassVar[str] = "Process acquisitions"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem watch --landing-folders /data/landing --results-root /data/results",
            "until Ctrl-C",
        ),
        ("spherovem watch --once", "scan once, with the folders of the settings"),
        (
            "spherovem watch --retry spheroid-7",
            "check an acquisition again after a repair, and process it again",
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
        "block_voxels",
        "block_halo_voxels",
        "storage",
    )

    landing_folders: CliVariadicArg[list[Path]] = Field(
        default=[],
        description="Folders in which acquisitions land; by default those of SPHEROVEM_LANDING_FOLDERS.",
        json_schema_extra={"metavar": "PATH ..."},
    )
    results_root: Path | None = Field(
        default=None, description="Folder that holds one results folder per acquisition."
    )
    settle_seconds: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="An acquisition is ready when its files have not changed for this long."
    )
    once: CliImplicitFlag[bool] = Field(
        default=False,
        description="Scan once instead of watching; exit code 1 when something could not be done.",
    )
    retry: str | None = Field(
        default=None,
        description="Name of an acquisition to check again and, if it is sound, to process again.",
        json_schema_extra={"metavar": "NAME"},
    )

    def cli_cmd(self) -> None:
        """Scan the landing folders once, or until the watcher is stopped."""
        from deployments.landing.retries import request_retry
        from deployments.landing.rules import LandingRules
        from deployments.landing.watcher import scan_once, watch

        with reading_arguments():
            settings = self.chosen_settings()
            if self.retry is not None and settings.results_root is not None:
                request_retry(settings.results_root.absolute(), self.retry)
                print(f"{self.retry}: noted; the next scan takes it up")
                if not self.once:
                    return
            rules = LandingRules.from_settings(settings)
        if self.once:
            scan_once(rules)
        else:
            watch(rules, settings.scan_interval_seconds)

    def chosen_settings(self) -> Settings:
        """Read the settings of this machine, under the options.

        Raises
        ------
        ParameterError
            If one of them is wrong.
        """
        return read_settings(
            landing_folders=tuple(self.landing_folders) or None,
            results_root=self.results_root,
            settle_seconds=self.settle_seconds,
        )
