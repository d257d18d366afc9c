"""``spherovem up``: a whole facility on one workstation."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliToggleFlag, CliVariadicArg

from deployments.command_line.arguments import Command, reading_arguments
from deployments.settings import Settings, read_settings
from spherovem_core.errors import ParameterError

if TYPE_CHECKING:
    from deployments.facility.home import Access, FacilityHome


class Up(Command):
    """Run a whole facility on this workstation.

    Starts a Prefect server with a password, sets it up, and starts the watcher, one worker per GPU and one worker without;
    what dies is restarted. Ctrl-C ends all of them; interrupted runs continue at the next start. Several machines: see the guide.
    """

    group: ClassVar[str] = "Operate"
    resumable: ClassVar[bool] = True
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem up --landing-folders /data/landing --results-root /data/results", "until Ctrl-C"),
        ("spherovem up --systemd", "as services that start with the machine"),
    )
    settings: ClassVar[tuple[str, ...]] = (
        "landing_folders",
        "results_root",
        "network",
        "parameters",
        "profiles",
        "device",
        "settle_seconds",
        "gpu_pool",
        "cpu_pool",
    )

    landing_folders: CliVariadicArg[list[Path]] = Field(
        default=[],
        description="Folders in which acquisitions land; by default those of SPHEROVEM_LANDING_FOLDERS.",
        json_schema_extra={"metavar": "PATH ..."},
    )
    results_root: Path | None = Field(
        default=None, description="Folder that holds one results folder per acquisition."
    )
    home: Path | None = Field(
        default=None,
        description="Folder of the database, the password and the logs; by default ~/.local/state/spherovem.",
    )
    port: int | None = Field(
        default=None, ge=1024, le=65535, description="Port of the UI; by default a free one from 4200 on."
    )
    gpus: int | None = Field(
        default=None, ge=0, le=64, description="GPUs to use; by default all of this machine."
    )
    systemd: CliToggleFlag[bool] = Field(
        default=False, description="Install and start systemd units instead of running here."
    )

    def cli_cmd(self) -> None:
        """Run until Ctrl-C or SIGTERM, or install the units."""
        from deployments.facility.home import FacilityHome, default_home
        from deployments.landing.rules import LandingRules

        with reading_arguments():
            settings = read_settings(
                landing_folders=tuple(self.landing_folders) or None, results_root=self.results_root
            )
            LandingRules.from_settings(settings)
            home = FacilityHome(self.home or default_home())
            check_folders(settings)
        gpus = count_gpus() if self.gpus is None else self.gpus
        home.make()
        if self.systemd:
            from deployments.facility.systemd import install_units

            print(install_units(home, settings, gpus, self.port))
            return
        with home.held():
            run_here(home, home.access(self.port), settings, gpus)


def run_here(home: "FacilityHome", access: "Access", settings: Settings, gpus: int) -> None:
    """Run the facility in this terminal until it is interrupted."""
    from deployments.facility.tree import ProcessTree
    from deployments.landing.watcher import stopping_on_signals
    from deployments.server.orphans import leave_no_orphans

    leave_no_orphans()
    # What is no terminal is kept: the journal of a service, which others may read, or a file.
    print(welcome(home, access, settings, gpus, with_password=sys.stdout.isatty()), flush=True)
    with stopping_on_signals() as (stopped, _):
        ProcessTree(home, access, settings, gpus).run(stopped)


def welcome(
    home: "FacilityHome", access: "Access", settings: Settings, gpus: int, *, with_password: bool
) -> str:
    """Return what an operator needs to know: addresses, password or its file, folders, and how to use other commands."""
    password = f"{access.auth_string}   (the UI asks once for all of it)"
    landing = ", ".join(map(str, settings.landing_folders))
    return "\n".join(
        [
            f"Prefect UI      {access.address}",
            f"Password        {password if with_password else f'in {home.access_file}'}",
            f"Landing         {landing}",
            f"Results         {settings.results_root}",
            f"GPUs            {gpus or 'none: the runs compute on the processor'}",
            f"Logs            {home.logs}",
            f"Other commands  set -a; . {home.access_file}; set +a",
        ]
    )


def check_folders(settings: Settings) -> None:
    """Make the results root, and refuse landing folders that do not exist: most likely they are misspelt.

    Raises
    ------
    ParameterError
        If a landing folder does not exist, or the results root cannot be made.
    """
    from spherovem_core.urls import is_remote

    for folder in settings.landing_folders:
        if not is_remote(folder) and not folder.is_dir():
            raise ParameterError(f"the landing folder {folder} does not exist; make it, or correct its name")
    try:
        make_folder(settings.results_root)
    except OSError as error:
        raise ParameterError(
            f"the results root {settings.results_root} cannot be made ({error.strerror or error})"
        ) from error


def make_folder(folder: Path | None) -> None:
    """Make a folder, if one is named."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)


def count_gpus() -> int:
    """Count the GPUs that torch can use."""
    from spherovem_core.utils.torch_device import cuda_device_count

    return cuda_device_count()
