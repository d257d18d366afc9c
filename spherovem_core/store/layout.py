"""The paths inside a results folder; no other module spells one."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from spherovem_core.errors import StoreNotWritableError
from spherovem_core.object_kinds import CORRECTED_KINDS as CORRECTED_KINDS
from spherovem_core.object_kinds import OBJECT_KINDS as OBJECT_KINDS
from spherovem_core.object_kinds import CorrectedKind as CorrectedKind
from spherovem_core.object_kinds import ObjectKind as ObjectKind

VOLUME = "volume.zarr"
RAW = "raw"
DENOISED = "denoised"
REGISTERED = "registered"
POSTERIOR = "nanoparticle_posterior"
DISTANCE = "distance_to_nucleus"
NANOPARTICLES = "registered/labels/nanoparticles"
SPECIMEN = "specimen"
AUTOMATIC = "_automatic"
"""Ending of the names of labels and tables as they were computed, before corrections by hand."""


def labels_group(kind: ObjectKind) -> str:
    """Return the group of the labels of cells or nuclei."""
    return f"{REGISTERED}/labels/{kind}"


def named_labels_group(name: str) -> str:
    """Return the group of the labels of a further kind of objects, such as mitochondria."""
    return f"{REGISTERED}/labels/{name}"


def flows_group(kind: ObjectKind) -> str:
    """Return the group of the flows of cells or nuclei."""
    return f"flows/{kind}"


def corrected_group(kind: CorrectedKind) -> str:
    """Return the group of the labels of a kind of object that can be corrected."""
    return f"{REGISTERED}/labels/{kind}"


def automatic_group(group: str) -> str:
    """Return the group that keeps labels as they were computed, where corrections by hand changed them."""
    return f"{group}{AUTOMATIC}"


def array_path(group: str, level: int | str = 0) -> str:
    """Return the path of one level of a multiscale group, relative to the results folder."""
    return f"{VOLUME}/{group}/{level}"


def table_path(name: str) -> str:
    """Return the path of a final table, such as cells or slices."""
    return f"tables/{name}.parquet"


def stage_table_path(name: str) -> str:
    """Return the path of a table that one step writes for another."""
    return f"tables/stages/{name}.parquet"


@dataclass(frozen=True)
class Layout:
    """The results folder of one acquisition."""

    folder: Path

    @property
    def volume(self) -> Path:
        """The OME-Zarr store."""
        return self.folder / VOLUME

    @property
    def tables(self) -> Path:
        """Folder of the tables."""
        return self.folder / "tables"

    @property
    def models(self) -> Path:
        """Folder of fitted models and checkpoints."""
        return self.folder / "models"

    @property
    def mixture(self) -> Path:
        """The populations and limits that the stage nanoparticles found."""
        return self.models / "mixture.json"

    @property
    def elastic_fields(self) -> Path:
        """Local fields of the slices; only a registration with elastic refinement writes it."""
        return self.models / "elastic_fields.npz"

    @property
    def meshes(self) -> Path:
        """Folder of surface meshes."""
        return self.folder / "meshes"

    def label_index(self, kind: CorrectedKind) -> Path:
        """Return the index of automatic labels, from which corrections find objects without reading the volume."""
        return self.scratch / "corrections" / f"{kind}.npz"

    def splits(self, kind: CorrectedKind) -> Path:
        """Return the folder of splits that were computed before."""
        return self.scratch / "corrections" / f"{kind}-splits"

    def repainted(self, kind: CorrectedKind) -> Path:
        """Return the folder of repainted blocks while corrections are applied."""
        return self.scratch / "corrections" / f"{kind}-blocks"

    def journal(self, kind: CorrectedKind) -> Path:
        """Return the journal of corrections of a kind of object; absent while nothing was corrected."""
        return self.folder / "corrections" / f"{kind}.jsonl"

    def audit(self, kind: str) -> Path:
        """Return the journal of audits of a kind of object; its sample and sheet lie beside. Absent while none was made."""
        return self.folder / "audits" / f"{kind}.jsonl"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"

    @property
    def provenance(self) -> Path:
        """Parameters, versions and history of the whole run."""
        return self.folder / "provenance.json"

    @property
    def history(self) -> Path:
        """Folder of tables, reports and provenance that a run with other parameters replaced."""
        return self.folder / "history"

    @property
    def comparison(self) -> Path:
        """Comparison of the measurements with a phantom's truth; only the demo writes it."""
        return self.tables / "comparison.json"

    @property
    def checksums(self) -> Path:
        """Folder of the records of tables, documents and the report: what each file held when it was written."""
        return self.folder / "checksums"

    def discarded(self, group: str) -> Path:
        """Return the record of an array that was discarded because nothing needs it any more (``storage: lean``)."""
        return self.folder / "discarded" / f"{group}.json"

    @property
    def scratch(self) -> Path:
        """Folder of ledgers, locks, task results and provisional arrays: nothing that a user needs."""
        return self.folder / ".spherovem"

    @property
    def locks(self) -> Path:
        """Folder of the locks that runs hold."""
        return self.scratch / "locks"

    def ledger(self, name: str) -> Path:
        """Return the path of a ledger of finished pieces of work other than blocks of an array."""
        return self.scratch / "ledgers" / f"{name}.jsonl"

    def provisional(self, name: str) -> Path:
        """Return the results folder of an array that only one step reads."""
        return self.scratch / "provisional" / name

    @property
    def failure(self) -> Path:
        """Note of the reason why the last run failed; removed when the failed step succeeds."""
        return self.scratch / "failure.json"

    @property
    def expected_end(self) -> Path:
        """Step at work, and when the present run is expected to end by its forecast; of use only while a run holds the folder."""
        return self.scratch / "expected_end.json"

    @property
    def source_files(self) -> Path:
        """Digests of the source's files, with the size and times that each file had when it was read."""
        return self.scratch / "source_files.json"

    @property
    def source_record(self) -> Path:
        """Place and digest of the source of the results: no other acquisition may use the folder."""
        return self.scratch / "source.json"

    @property
    def label_files(self) -> Path:
        """Digests of label files that were imported, with the size and time that each file had when it was read."""
        return self.scratch / "label_files.json"

    @property
    def rejection(self) -> Path:
        """Note of the reason why the watcher does not process the acquisition."""
        return self.folder / "REJECTED.json"

    def path(self, relative: str) -> Path:
        """Return the absolute path of an artifact's path."""
        return self.folder / relative

    def ensure_writable(self) -> None:
        """Create the folder and write a small file into it.

        Raises
        ------
        StoreNotWritableError
            If the folder cannot be created or written.
        """
        try:
            self.scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.scratch) as probe:
                probe.write(b"spherovem")
        except OSError as error:
            raise StoreNotWritableError(
                f"the results folder {self.folder} cannot be written ({error.strerror or error}); "
                "choose another results root or give write permission"
            ) from error
