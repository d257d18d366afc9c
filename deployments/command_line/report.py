"""``spherovem report``: the report of a finished acquisition, written again."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg

from deployments.command_line.arguments import Command


class Report(Command):
    """Write the report of an acquisition again."""

    group: ClassVar[str] = "Look at results"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem report results/spheroid_07", "from the results on disk, with the installed version"),
    )

    acquisition: CliPositionalArg[Path] = Field(description="The acquisition's results folder.")

    def cli_cmd(self) -> None:
        """Write the report."""
        from spherovem_core.registry import pipeline_of_results
        from spherovem_core.steps.output import rewrite_report

        pipeline = pipeline_of_results(self.acquisition)
        print(f"report: {rewrite_report(self.acquisition, pipeline.chapters(), pipeline)}")
