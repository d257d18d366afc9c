"""One execution of a step: its inputs, its outputs and their history."""

from collections.abc import Callable, Mapping, Sequence
from math import gcd
from typing import Any, Generic

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import Execution
from spherovem_core.label_statistics import statistics_code
from spherovem_core.references import ArtifactRef, canonical_json
from spherovem_core.region_of_interest import RegionOfInterest
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import (
    NUMERICAL_PACKAGES,
    ArraySpec,
    ArrayWriter,
    Content,
    Layout,
    Ledger,
    LikeGroup,
    StepRecorder,
    StoredArray,
    cube_shards,
    discard,
    discard_replaced,
    finish_multiscale,
    grow_levels,
    history_entry,
    open_array,
    package_versions,
    read_table,
    set_aside,
    slice_shards,
    write_table,
)
from spherovem_core.store.codecs import Codec
from spherovem_core.store.columns import typed_rows
from spherovem_core.store.kept_parts import open_shown
from spherovem_core.store.layout import ObjectKind, array_path
from spherovem_core.store.protection import refuse_to_replace
from spherovem_core.store.tables import table_marker
from spherovem_core.workflow.artifacts import content_of, digest_for_others, write_document, write_file
from spherovem_core.workflow.outputs import ArrayOutput, DocumentOutput, FileOutput, Output, TableOutput
from spherovem_core.workflow.plan import StepPlan
from spherovem_core.workflow.step import P

LARGEST_CUBE = 128
"""Voxels along the side of a file of labels or flows."""


class StepRun(Generic[P]):
    """Inputs, outputs and settings of a step while it is computed.

    Attributes
    ----------
    plan
        Digest and paths.
    execution
        Device, workers, deadline and progress.
    parameters
        The step's own.
    """

    def __init__(
        self,
        plan: StepPlan[P],
        execution: Execution,
        recorder: StepRecorder,
        check_folder: Callable[[], None],
    ) -> None:
        self.plan = plan
        self.execution = execution
        self.recorder = recorder
        self._check_folder = check_folder
        self._upstream: dict[str, dict[str, Any]] = {}
        self._sources: dict[str, str] = {}
        self._keeps_replaced = False

    @property
    def parameters(self) -> P:
        """Parameters of the step."""
        return self.plan.parameters

    @property
    def layout(self) -> Layout:
        """Paths in the results folder."""
        return self.plan.layout

    @property
    def region(self) -> RegionOfInterest:
        """Region of the acquisition that is processed."""
        return self.plan.region

    def reference(self, output: Output) -> ArtifactRef:
        """Return the reference that stands for the step which writes an input.

        Raises
        ------
        KeyError
            If the step did not declare the input.
        """
        producer = self.plan.pipeline.producer(output)
        if not self.plan.step.reads_everything and output not in self.plan.step.inputs:
            raise KeyError(f"step {self.plan.step.name} reads {output.path}; declare it among its inputs")
        return self.plan.inputs[producer.name]

    def open(self, output: ArrayOutput, level: int = 0) -> StoredArray:
        """Open an input array, or a coarser level of it, and take over its history.

        A lazy input that was discarded raises `DiscardedPartError` when it is read.
        """
        open_level = open_shown if output in self.plan.step.lazy else open_array
        stored = open_level(self.layout, output.group, level)
        finest = stored if level == 0 else open_level(self.layout, output.group)
        for each in (stored, finest):
            self._check_digest(output, each.own_digest)
        self._inherit(finest.history)
        # Tables follow from labels. Images may be discarded and computed again with the last bits of another device.
        if output.content == "label":
            self._note_source(output)
        return stored

    def table(self, output: TableOutput) -> pd.DataFrame:
        """Read an input table and take over its history."""
        frame = read_table(self.layout, output.path)
        marker = table_marker(self.layout.path(output.path)) or {}
        self._check_digest(output, marker["fingerprint"])
        self._inherit(marker["history"])
        self._note_source(output)
        return frame

    def _note_source(self, output: Output) -> None:
        content = content_of(self.layout, output.path)
        if content is not None:
            self._sources[output.path] = content

    def _check_digest(self, output: Output, own: str) -> None:
        """Refuse an input of another step than the one that was planned.

        Raises
        ------
        IncompleteArtifactError
            If the input was replaced since.
        """
        planned = self.reference(output).digest
        outputs = self.plan.pipeline.producer(output).outputs
        found = digest_for_others(self.layout, outputs, own)
        if found != planned:
            raise IncompleteArtifactError(
                f"{self.layout.path(output.path)} was computed under other inputs or parameters "
                f"({found[:12]}, not {planned[:12]}); run the acquisition again to compute it"
            )

    def writer(
        self,
        output: ArrayOutput,
        shape: Sequence[int],
        dtype: DTypeLike,
        spacing_nm: SpacingNm,
        **options: Any,
    ) -> ArrayWriter:
        """Start or continue an output array; options are those of `array_spec`.

        The coarser levels of an image grow while its slices are written.
        """
        spec = array_spec(output.group, output.content, shape, dtype, spacing_nm, **options)
        writer = ArrayWriter(self.layout, spec, self.plan.digest)
        grow_levels(writer)
        return writer

    def provisional(
        self, shape: Sequence[int], dtype: DTypeLike, spacing_nm: SpacingNm, *, part: str = "", **options: Any
    ) -> ArrayWriter:
        """Start or continue an array that nobody but this step reads; it goes when the step is done.

        Parameters
        ----------
        part
            Name of the array, for a step with several.
        """
        name = self.plan.step.provisional
        layout = Layout(self.layout.provisional(name))
        spec = array_spec(part or name, "label", shape, dtype, spacing_nm, **options)
        return ArrayWriter(layout, spec, self.plan.digest)

    def discard_part(self, part: str) -> None:
        """Delete one of several provisional arrays before the step is done; nothing happens if it is not there."""
        layout = Layout(self.layout.provisional(self.plan.step.provisional))
        discard(self.layout, layout.path(array_path(part)).parent)

    @property
    def automatic(self) -> "StepRun[P]":
        """The same run without corrections by hand."""
        return StepRun(self.plan.automatic, self.execution, self.recorder, self._check_folder)

    def inherit(self, entries: Sequence[dict[str, Any]]) -> None:
        """Take over the history of what was read without `open` or `table`."""
        self._inherit(entries)

    def replaced(self, output: ArrayOutput) -> StoredArray | None:
        """Open the complete array that the step is about to replace; it goes when the step is done.

        Call it before `writer`, which would delete it. After a kill it is still there.
        """
        self._keeps_replaced = True
        refuse_to_replace(self.layout, output.group)
        return set_aside(self.layout, output.group, self.plan.digest)

    def discard_provisional(self) -> None:
        """Delete the step's provisional arrays, and the arrays that it replaced."""
        discard_provisional(self.plan)
        if self._keeps_replaced:
            discard_replaced(self.layout)

    def ledger(self) -> Ledger:
        """Open the ledger of finished pieces of work other than blocks of an array, such as slice pairs."""
        return Ledger(self.layout.ledger(self.plan.step.ledger), self.plan.digest)

    def measurements(self, **conditions: Any) -> Ledger:
        """Open the ledger of what the step has measured so far, by content. It outlives the step and its digest.

        Values of a ledger hold for one version of the step, one set of parameters, one kind of device, the packages that compute
        them, and the `conditions`, such as the spacing; it is begun again when one of these changes. Whatever else a value
        depends on must be part of its key.
        """
        packages = package_versions()
        basis = {
            "step": self.plan.step.name,
            "version": self.plan.step.version,
            "parameters": self.plan.own_parameters,
            "device": self.execution.device.split(":")[0],
            "packages": {name: packages[name] for name in NUMERICAL_PACKAGES if name in packages},
            **conditions,
        }
        return self.memory(f"measured-{self.plan.step.name}", basis)

    def label_statistics(self, kind: ObjectKind) -> Ledger:
        """Open the ledger of the statistics of blocks of labels, which several steps use."""
        return self.memory(f"statistics-{kind}", {"code": statistics_code()})

    def memory(self, name: str, basis: Mapping[str, Any]) -> Ledger:
        """Open a ledger of results by content, which outlives the step; it is begun again when their `basis` changes."""
        return Ledger(self.layout.ledger(name), canonical_json(basis))

    def ledger_of_blocks(self, output: ArrayOutput) -> Ledger:
        """Open the ledger of a step whose blocks depend on each other, before the writer of its output.

        The digest does not count the sizes of blocks, which are settings. Work that was begun in other blocks cannot be
        continued: its ledger and its unfinished output are discarded.
        """
        sizes = f"blocks of {self.execution.block_voxels}, halo of {self.execution.block_halo_voxels}"
        ledger = Ledger(self.layout.ledger(self.plan.step.ledger), f"{self.plan.digest}, {sizes}")
        if not ledger:
            refuse_to_replace(self.layout, output.group)
            discard(self.layout, self.layout.path(output.path).parent)
        return ledger

    def finish(self, writer: ArrayWriter, like: LikeGroup | None = None, **details: Any) -> ArtifactRef:
        """Build the pyramid of a fully written array, in parts a copy of another one, and complete it."""
        self._check_folder()
        return finish_multiscale(writer, self.execution, self.history, like, **details)

    def write_table(self, output: TableOutput, frame: pd.DataFrame) -> ArtifactRef:
        """Write an output table."""
        self._check_folder()
        rows = typed_rows(frame, output.columns)
        return write_table(
            self.layout, output.path, rows, self.plan.digest, self.history, sources=self._sources
        )

    def write_document(self, output: DocumentOutput, document: Mapping[str, Any]) -> ArtifactRef:
        """Write an output JSON document."""
        self._check_folder()
        sources = {"sources": dict(self._sources)} if self._sources else {}
        return write_document(
            self.layout, output.path, {**document, **sources, "history": self.history}, self.plan.digest
        )

    def write_file(self, output: FileOutput, text: str) -> None:
        """Write an output that is neither array, table nor document."""
        self._check_folder()
        write_file(self.layout, output.path, text)

    @property
    def history(self) -> list[dict[str, Any]]:
        """History of the outputs: that of the inputs, and this step."""
        entry = history_entry(
            self.plan.step.stage,
            self.plan.step.name,
            self.plan.step.version,
            self.plan.own_parameters,
            self.plan.external,
            self.plan.input_digests,
            self.execution.device,
            self.recorder.elapsed_s,
            self.recorder.peak_memory_bytes,
        )
        return [*self._upstream.values(), entry]

    def _inherit(self, entries: Sequence[dict[str, Any]]) -> None:
        """Take over entries of inputs; of one run of a step, whose outputs were written one by one, the last counts."""
        for entry in entries:
            known = self._upstream.get(_run_of(entry))
            if known is None or entry["seconds"] > known["seconds"]:
                self._upstream[_run_of(entry)] = entry


def discard_provisional(plan: StepPlan[Any]) -> None:
    """Delete the provisional arrays of a finished step.

    Those of a run that was killed may be there although this one wrote none: it was killed when the output was complete, or
    its parameters needed them and those of this run do not.
    """
    if plan.step.provisional:
        discard(plan.layout, plan.layout.provisional(plan.step.provisional))


def array_spec(
    group: str,
    content: Content,
    shape: Sequence[int],
    dtype: DTypeLike,
    spacing_nm: SpacingNm,
    *,
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
    by_slice: bool = False,
    block: int = LARGEST_CUBE,
    files: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
    codec: Codec | None = None,
    resolution: float = 0.0,
    is_sparse: bool = False,
) -> ArraySpec:
    """Describe an array in files of one slice, of cubes that fill the step's blocks of side `block`, or of given `files`.

    Parameters
    ----------
    files
        Extents of chunks and of shards.
    codec
        Codec of the chunks; None for the usual one.
    resolution, is_sparse
        As in `ArraySpec`.
    """
    if files is not None:
        chunks, shards = files
    else:
        chunks, shards = slice_shards(shape) if by_slice else cube_shards(shape, gcd(block, LARGEST_CUBE))
    return ArraySpec(
        group,
        content,
        tuple(shape),
        np.dtype(dtype),
        chunks,
        shards,
        spacing_nm,
        origin_nm,
        codec,
        resolution,
        is_sparse,
    )


def _run_of(entry: Mapping[str, Any]) -> str:
    return canonical_json(
        {name: entry[name] for name in ("step", "version", "parameters", "external", "inputs")}
    )
