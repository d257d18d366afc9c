"""Changes of finished results from outside, and the error that names them and the two ways on."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from spherovem_core.errors import ChangedArtifactError
from spherovem_core.store.layout import Layout

LISTED = 3
"""Changed files that a message names."""


@dataclass(frozen=True)
class Change:
    """Change of one file.

    Attributes
    ----------
    file
        Path in the folder of the artifact; empty where that is a file itself.
    what
        What was found and what was expected.
    """

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file or 'it'} {self.what}"


def changed_error(layout: Layout, artifact: str, changes: Sequence[Change]) -> ChangedArtifactError:
    """Make the error of an artifact that was changed: file, finding, expectation, and the commands that solve it.

    Parameters
    ----------
    artifact
        Path in the results folder: a group of the volume or a file.
    """
    listed = "; ".join(map(str, changes[:LISTED]))
    more = f"; and {len(changes) - LISTED} more of its files" if len(changes) > LISTED else ""
    return ChangedArtifactError(
        f"{layout.path(artifact)} was changed after it was computed: {listed}{more}. Nothing was computed or replaced. "
        f"To keep the change and compute what follows from it: {command(layout, 'adopt', artifact)}. "
        f"To discard it, so that the next run computes it again: {command(layout, 'recompute', artifact)}"
    )


def adopted_error(layout: Layout, artifact: str, adopted: str) -> ChangedArtifactError:
    """Make the error of an adopted artifact that a run would replace."""
    return ChangedArtifactError(
        f"{layout.path(artifact)} holds a change by hand ({adopted}), and this run would replace it. Nothing was computed or "
        "replaced. To keep it: run with the parameters and the version that computed it, or start at a later stage. "
        f"To discard it, so that the next run computes it again: {command(layout, 'recompute', artifact)}"
    )


def command(layout: Layout, way: str, artifact: str) -> str:
    """Return the command line that adopts or discards a change."""
    folder = layout.folder.absolute()
    words = ["spherovem", "verify", folder.name, "--results-root", str(folder.parent), f"--{way}", artifact]
    return shlex.join(words)


def format_time(mtime_ns: int) -> str:
    """Format the time of a file to the second, in the local zone."""
    return datetime.fromtimestamp(mtime_ns / 1e9).isoformat(" ", "seconds")
