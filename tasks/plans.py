"""What a stage will write and under which fingerprint: known before it runs, from its arguments alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spherovem_core.references import Acquisition, ArtifactRef, canonical_json, stage_digest

if TYPE_CHECKING:
    from spherovem_core.store import Layout

Arguments = Mapping[str, Any]
GpuLibrary = Literal["torch", "cupy"]

SETTINGS = "execution"
"""The argument that changes no result, in any task."""


def own_parameters(arguments: Arguments) -> dict[str, Any]:
    """Every argument that is neither an input, nor the acquisition's place, nor a setting."""
    return {
        name: value
        for name, value in arguments.items()
        if name != SETTINGS and not isinstance(value, Acquisition) and not list(_references({name: value}))
    }


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline, beside its task.

    Attributes
    ----------
    name
        Name in fingerprints, cache keys and histories.
    version
        Raised whenever the stage's result would change.
    outputs
        Paths of everything it writes, in the acquisition's folder, the one it returns first; ``{kind}``
        stands for the argument of that name.
    fingerprint
        Picks from the arguments what changes the result, inputs aside.
    gpu_library
        What it computes with where there is a GPU; None for a stage that has no use for one.
    """

    name: str
    version: int
    outputs: tuple[str, ...]
    fingerprint: Callable[[Arguments], Mapping[str, Any]] = own_parameters
    gpu_library: GpuLibrary | None = None

    def title(self, arguments: Arguments) -> str:
        """Name of a run for people, such as ``predict_flows cells``."""
        return f"{self.name} {arguments['kind']}" if "kind" in arguments else self.name

    def plan(self, arguments: Arguments) -> "StagePlan":
        """Work out the fingerprint and the places of the outputs."""
        parameters = dict(self.fingerprint(arguments))
        inputs = tuple(reference.digest for reference in _references(arguments))
        return StagePlan(
            stage=self,
            title=self.title(arguments),
            folder=results_folder(arguments),
            outputs=tuple(path.format_map(arguments) for path in self.outputs),
            parameters=parameters,
            inputs=inputs,
            digest=stage_digest(self.name, self.version, _plain(parameters), inputs),
        )


@dataclass(frozen=True)
class StagePlan:
    """One run of a stage: its fingerprint, and where its outputs lie."""

    stage: Stage
    title: str
    folder: Path
    outputs: tuple[str, ...]
    parameters: Mapping[str, Any]
    inputs: tuple[str, ...]
    digest: str

    @property
    def key(self) -> str:
        """Name of the run's record and lock."""
        return f"{self.stage.name}-{self.digest}"

    @property
    def layout(self) -> "Layout":
        """The acquisition's results folder."""
        from spherovem_core.store import Layout

        return Layout(self.folder)

    def find(self) -> ArtifactRef | None:
        """Reference to the stage's first output if all of them are complete on disk, else None."""
        from tasks.disk import find_artifact

        found = [find_artifact(self.layout, path, self.digest) for path in self.outputs]
        return None if None in found else found[0]


def results_folder(arguments: Arguments) -> Path:
    """Results folder of the acquisition that a task's arguments belong to."""
    for value in arguments.values():
        if isinstance(value, Acquisition):
            return value.folder.absolute()
    for reference in _references(arguments):
        return Path(reference.store)
    raise TypeError(f"none of the arguments {sorted(arguments)} is an acquisition or a reference")


def _references(arguments: Arguments) -> Iterator[ArtifactRef]:
    """The references among the arguments, those in mappings included, in their order."""
    for value in arguments.values():
        if isinstance(value, ArtifactRef):
            yield value
        elif isinstance(value, Mapping):
            yield from (inner for inner in value.values() if isinstance(inner, ArtifactRef))


def _plain(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: canonical_json(value) for name, value in parameters.items()}
