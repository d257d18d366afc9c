"""``spherovem migrate``: results of an older version brought to the format of this one."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliImplicitFlag, CliPositionalArg

from deployments.command_line.arguments import BadArgumentsError, Command


class Migrate(Command):
    """Bring results of an older version to the format of this one.

    Complete results are kept and get the names of today; no array is computed or copied. The command may be killed and started
    again at any moment.
    """

    group: ClassVar[str] = "Look at results"
    resumable: ClassVar[bool] = True
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem migrate results/spheroid_07", "one acquisition"),
        ("spherovem migrate results/*", "all of a results root"),
        (
            "spherovem migrate results/spheroid_07 --source /archive/spheroid_07 --trust-source",
            "the acquired files were copied elsewhere since",
        ),
    )

    folders: CliPositionalArg[list[Path]] = Field(description="Results folders of acquisitions.")
    source: Path | None = Field(
        default=None,
        description="Place of the acquired files; by default where the results say that they were.",
    )
    trust_source: CliImplicitFlag[bool] = Field(
        default=False,
        description="Take these files for the ones that were ingested, although their times have changed.",
    )

    without_source: CliImplicitFlag[bool] = Field(
        default=False,
        description="Migrate without the acquired files; a run from the source will compute all steps again.",
    )

    def cli_cmd(self) -> None:
        """Migrate the folders one after another."""
        from spherovem_core.errors import SpheroVemError
        from spherovem_core.ingest.source_files import source_exists
        from spherovem_core.migration import holds_results
        from spherovem_core.urls import shown

        for folder in self.folders:
            if not folder.is_dir():
                raise BadArgumentsError(f"{folder} is no folder; name results folders of acquisitions")
        if self.source is not None and len(self.folders) > 1:
            raise BadArgumentsError(
                "--source names the files of one acquisition; migrate one folder at a time"
            )
        if self.source is not None and not source_exists(self.source):
            raise BadArgumentsError(f"--source {shown(self.source)} does not exist; name the acquired files")
        failures: list[str] = []
        for folder in self.folders:
            try:
                print(
                    self.migrate_one(folder)
                    if holds_results(folder)
                    else f"{folder}: no results, left as it is"
                )
            except SpheroVemError as error:
                failures.append(str(error))
        if failures:
            raise SpheroVemError("\n".join(failures))

    def migrate_one(self, folder: Path) -> str:
        """Migrate one folder, and return what became of it."""
        from spherovem_core.migration import migrate

        done = migrate(
            folder,
            source=self.source,
            trust_source=self.trust_source,
            without_source=self.without_source,
        )
        if done is None:
            return f"{folder}: of the present format already"
        lines = [f"{folder}: kept {len(done.kept)} steps"]
        if done.dropped:
            lines.append(f"  the next run computes: {', '.join(done.dropped)}")
        if not done.source_found:
            lines.append("  without the acquired files: a run from the source computes all steps again")
        return "\n".join(lines)
