"""The sample of an audit: the objects and places that a person is to judge, with their strata."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from spherovem_core.errors import AuditError
from spherovem_core.references import canonical_json

PointUm = tuple[float, float, float]
Box = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class SampledObject:
    """An object to judge.

    Attributes
    ----------
    item
        Name on the sheet, such as ``O07``.
    label
        Number in the label array.
    stratum
        Stratum, from 0.
    point_um
        Position z, y, x through which the pictures are cut.
    box
        Bounding box in voxels of the finest level: z0, y0, x0, z1, y1, x1.
    volume_um3
        Volume.
    """

    item: str
    label: int
    stratum: int
    point_um: PointUm
    box: Box
    volume_um3: float


@dataclass(frozen=True)
class SampledPlace:
    """A square frame in one slice in which objects without a label are counted.

    Attributes
    ----------
    item
        Name on the sheet, such as ``P07``.
    stratum
        Stratum, from 0.
    z
        Slice.
    rows, columns
        First row or column of the frame, and the one after its last.
    """

    item: str
    stratum: int
    z: int
    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True)
class AuditSample:
    """The drawn sample, and what is known of the population that it stands for.

    Attributes
    ----------
    kind
        Cells, nuclei or nanoparticles.
    seed
        Seed of the draw.
    fingerprint
        Digest of the labels and of their table. Verdicts count for these labels alone.
    objects, places
        The sample.
    object_strata
        Names of the strata of objects.
    place_counts
        Number of frames per stratum of places in the whole volume.
    object_counts
        Number of objects per stratum in the whole table.
    usual_slices, usual_um3
        Mean number of slices and mean volume of all labelled objects.
    voxel_um
        Voxel size along z, y, x.
    shape
        Shape of the label array.
    drawn
        Time of the draw, ISO 8601 in UTC.
    """

    kind: str
    seed: int
    fingerprint: str
    objects: tuple[SampledObject, ...]
    places: tuple[SampledPlace, ...]
    object_strata: tuple[str, ...]
    object_counts: tuple[int, ...]
    place_counts: tuple[int, ...]
    usual_slices: float
    usual_um3: float
    voxel_um: PointUm
    shape: tuple[int, int, int]
    drawn: str

    @property
    def identifier(self) -> str:
        """Digest of the sample, by which a file of verdicts names it."""
        values = asdict(self)
        del values["drawn"]
        return hashlib.sha256(canonical_json(values).encode()).hexdigest()[:12]

    def document(self) -> dict[str, Any]:
        """Return the sample as JSON values."""
        return {"identifier": self.identifier, **asdict(self)}

    @staticmethod
    def parse(document: dict[str, Any], name: str) -> "AuditSample":
        """Read what `document` wrote.

        Raises
        ------
        AuditError
            If it was changed, or is no sample.
        """
        try:
            values = {key: value for key, value in document.items() if key != "identifier"}
            objects = tuple(SampledObject(**_tuples(each)) for each in values.pop("objects"))
            places = tuple(SampledPlace(**_tuples(each)) for each in values.pop("places"))
            sample = AuditSample(objects=objects, places=places, **_tuples(values))
        except (TypeError, KeyError, AttributeError) as error:
            raise AuditError(
                f"{name} is no sample of an audit ({error}); draw another one with --redraw"
            ) from error
        if sample.identifier != document.get("identifier"):
            raise AuditError(
                f"{name} was changed after the sample was drawn (it is {sample.identifier}, and says "
                f"{document.get('identifier')}); restore it from a copy, or draw another sample with --redraw"
            )
        return sample


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
