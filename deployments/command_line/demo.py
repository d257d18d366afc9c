"""``spherovem demo``: a run of the whole pipeline on a phantom."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from deployments.command_line.arguments import Command, Device, Workers


class Demo(Command):
    """Make a phantom acquisition, process it, compare with the truth."""

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem demo --results-root /tmp/results", "a few minutes on two cores"),
    )
    resumable: ClassVar[bool] = True

    results_root: Path = Field(default=Path("results"), description="Folder for the results.")
    name: str = Field(default="demo", description="Name of the results folder.")
    device: Device = Field(default="auto", description="auto, cpu, cuda or cuda:n.")
    workers: Workers | None = Field(default=None, description="Workers per stage; every core by default.")

    def cli_cmd(self) -> None:
        """Run the demo."""
        from deployments.command_line.demo_run import run_demo

        run_demo(self.results_root, self.name, {"device": self.device, "workers": self.workers})
