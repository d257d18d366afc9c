"""Declaration of a step, one cached part of a stage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from numpy.typing import NDArray
from pydantic import BaseModel

from spherovem_core.overrides import merge
from spherovem_core.parameters import PipelineParameters
from spherovem_core.parameters.base import parameters_of_digest
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest
from spherovem_core.stages import StageName
from spherovem_core.store.layout import CorrectedKind, ObjectKind
from spherovem_core.workflow.cost import Cost
from spherovem_core.workflow.outputs import ArrayOutput, Output, automatic_output

if TYPE_CHECKING:
    from spherovem_core.report import Chapter
    from spherovem_core.store import StoredArray
    from spherovem_core.workflow.run import StepRun

P = TypeVar("P", bound=BaseModel)
GpuLibrary = Literal["torch", "cupy"]

JOURNAL = "journal"
"""Name of the digest of corrections among the external digests of a step; absent where nothing was corrected."""

JOURNAL_OF, EXCLUDED_OF = "corrections_", "excluded_"
"""Begins of such names where a step reads the journals of several kinds, and the objects excluded in them: the kind follows."""


@dataclass(frozen=True)
class RunRequest:
    """Request of a run: the same for all of its steps. `acquisition` has the results folder of its region."""

    acquisition: Acquisition
    parameters: PipelineParameters
    region: RegionOfInterest = WHOLE


@dataclass(frozen=True)
class Quality:
    """Quality of a step's result, as shown in the Prefect UI.

    Attributes
    ----------
    description
        Title of the figures.
    figures
        Named numbers and texts.
    picture, picture_description
        Image or labels whose middle slice is shown, and its title.
    markdown
        A text shown instead of figures.
    """

    description: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    picture: ArrayOutput | None = None
    picture_description: str = ""
    markdown: str = ""


def no_gpu(parameters: Any) -> GpuLibrary | None:
    """Return None: the step has no use for a GPU."""
    return None


def torch_gpu(parameters: Any) -> GpuLibrary | None:
    """Return ``torch``."""
    return "torch"


def cupy_gpu(parameters: Any) -> GpuLibrary | None:
    """Return ``cupy``."""
    return "cupy"


def no_external_digests(request: RunRequest) -> Mapping[str, str]:
    """Return no digests: the step reads the outputs of other steps alone."""
    return {}


@dataclass(frozen=True, eq=False)
class Step(Generic[P]):
    """A part of a stage that is computed and cached as one.

    Attributes
    ----------
    name
        Name in digests, records, histories and the log. A single step of a stage has the name of the stage.
    stage
        Stage that it belongs to.
    version
        Raised whenever its result would change.
    parameters
        Selects the part of the pipeline's parameters that changes its result.
    inputs
        Outputs of other steps that it reads. Ignored with `reads_everything`.
    outputs
        All that it writes; the first stands for the step in references.
    compute
        Reads the inputs, calls the stage's functions and commits every output.
    cost
        Disk, memory and work, for the forecast.
    kind
        Kind of object that it processes, if there is one step per kind.
    external
        Digests of its inputs outside the results folder, such as the acquired files. Runs before the first step, so that it
        finds a bad source early; raises an error for the first problem that would stop the step.
    check
        Check that runs before the first step, after the results folder is made, for problems that a digest does not show.
    external_parameters
        Names of parameters that `external` covers: the content of a file counts, not its path.
    omitted
        Values of parameters that are left out of digests where they have this value: parameters that were added after results
        had been written.
    digest_names
        Names in digests of parameters that were renamed after results had been written, by their names of today. Those of a
        group of parameters are a mapping of their own, under the name of the group.
    removed
        Values with which parameters go on entering digests that were removed after results had been written, in groups as above.
    gpu_library
        Library that it computes with on a GPU, by its parameters; None for a step that stays on the CPU.
    provisional, ledger
        Names of an array and of a ledger that exist only while it runs; `spherovem_core.status` reads progress from them.
    provisional_parts
        Names of the arrays in the folder `provisional` that show the progress, in the order in which they are written, each of
        which is needed until the next one is done; empty for one array of the folder's name.
    reads_everything
        True if it reads the outputs of all steps before it.
    chapter
        Makes its chapter of the report.
    journal
        Kind of object whose corrections by hand it applies; their digest is then among its external ones, as `JOURNAL`.
    corrected
        Outputs that corrections change. The others keep the digest that they have without.
    transient
        Arrays that are discarded with ``storage: lean`` when all steps that read them are complete.
    lazy
        Inputs that it reads only for what it has not measured before. Where they were discarded, they are computed again only if
        it reads them.
    keep
        Measures what else is kept, by name, of a transient array when it is discarded, besides what the report shows.
    """

    name: str
    stage: StageName
    version: int
    parameters: Callable[[PipelineParameters], P]
    outputs: tuple[Output, ...]
    compute: Callable[["StepRun[P]"], Quality]
    cost: Cost
    inputs: tuple[Output, ...] = ()
    kind: ObjectKind | None = None
    external: Callable[[RunRequest], Mapping[str, str]] = no_external_digests
    check: Callable[[RunRequest, Mapping[str, str]], None] | None = None
    external_parameters: frozenset[str] = frozenset()
    omitted: Mapping[str, Any] = field(default_factory=dict)
    digest_names: Mapping[str, Any] = field(default_factory=dict)
    removed: Mapping[str, Any] = field(default_factory=dict)
    gpu_library: Callable[[P], GpuLibrary | None] = no_gpu
    provisional: str = ""
    ledger: str = ""
    provisional_parts: tuple[str, ...] = ()
    reads_everything: bool = False
    chapter: Callable[[], "Chapter"] | None = None
    journal: CorrectedKind | None = None
    corrected: tuple[Output, ...] = ()
    transient: tuple[ArrayOutput, ...] = ()
    lazy: tuple[ArrayOutput, ...] = ()
    keep: Callable[["StoredArray"], Mapping[str, NDArray[Any]]] | None = None

    @property
    def title(self) -> str:
        """Name for people, such as ``flows cells``."""
        return self.name.replace("_", " ")

    def own_parameters(self, parameters: P) -> dict[str, Any]:
        """Return the parameters that change its result, as JSON, without those that `external` covers or that are `omitted`.

        They have the names that they have in digests.
        """
        own = parameters_of_digest(parameters, self.external_parameters, self.omitted)
        return merge(self.removed, _in_digest_names(own, self.digest_names))

    @property
    def main_output(self) -> Output:
        """Output that stands for the step."""
        return self.outputs[0]

    @property
    def kept(self) -> tuple[Output, ...]:
        """Outputs as computed, in their places beside corrected ones; they are there only where something was corrected."""
        return tuple(map(automatic_output, self.corrected))


def _in_digest_names(values: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters under their names in digests, group by group."""
    renamed = {}
    for name, value in values.items():
        own = names.get(name, name)
        if isinstance(own, Mapping):
            renamed[name] = _in_digest_names(value, own)
        else:
            renamed[own] = value
    return renamed
