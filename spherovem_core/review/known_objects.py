"""Objects and contacts examined before, found by content, so that only what changed is examined again.

- What is found of an object itself depends on its voxels on the grid and on the nuclei around it: on their content hashes.
- What is found at a contact depends on its faces, and on which of them lie within a nucleus: on the hash of `Touch`.
- The convex hull of a pair depends on the voxels of both objects.

None of them depends on the numbers of the labels. All depend on the grid, which is part of every key, and on image and flows:
entries must hold for one image, one field of flows and one version of the method.
"""

import zlib
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spherovem_core.known_blocks import KnownResults, digest_of
from spherovem_core.label_statistics import LabelStatistics
from spherovem_core.review.cuts import Cut
from spherovem_core.review.examination import Inside
from spherovem_core.review.faces import FaceEvidence
from spherovem_core.review.object_view import ObjectBox, fitting_times, view_region
from spherovem_core.review.review_grid import ReviewGrid
from spherovem_core.review.touching import Touch

T = TypeVar("T")

BIN_EDGE = 64
"""Voxels of the grid along the side of a bin of bounding boxes."""

UNREADABLE = (KeyError, IndexError, TypeError, ValueError, zlib.error)
"""Errors of an entry that is damaged: what it stands for is measured again."""


@dataclass(frozen=True)
class ObjectKeys:
    """Keys of the entries of one review.

    Attributes
    ----------
    grid
        The grid.
    known
        Entries.
    """

    grid: ReviewGrid
    known: KnownResults

    def objects(self, statistics: LabelStatistics, nuclei: LabelStatistics | None) -> dict[int, str]:
        """Return the keys of all objects, by label."""
        found, near = {}, None if nuclei is None else NearBoxes(nuclei)
        for box, content in zip(grid_boxes(statistics), statistics.hashes, strict=True):
            times = fitting_times(box)
            low, high = (
                np.array(corner) * times
                for corner in zip(
                    *((s.start, s.stop) for s in view_region(box, self.grid.coarser(times))), strict=True
                )
            )
            # In the order of their numbers, in which they are looked at.
            around = [] if near is None else near.contents(low, high)
            found[box.label] = self._key("object", content, *around)
        return found

    def contact(self, touch: Touch) -> str:
        """Return the key of a contact."""
        return self._key("contact", touch.content)

    def hull(self, one: str, other: str) -> str:
        """Return the key of the convex hull of two objects, from their content hashes."""
        return self._key("hull", *sorted((one, other)))

    def _key(self, what: str, *parts: str) -> str:
        return f"{what} {digest_of(self.grid.signature.encode(), *(part.encode() for part in parts))}"

    def find(self, key: str, decode: Callable[[Any], T]) -> T | None:
        """Return what was found before; None if it is not known, or its entry is damaged."""
        entry = self.known.find(key)
        if entry is None:
            return None
        try:
            return decode(entry)
        except UNREADABLE:
            return None


def grid_boxes(statistics: LabelStatistics) -> list[ObjectBox]:
    """Return the bounding boxes of all labels, in rising order of the labels."""
    return [
        ObjectBox(label, tuple(low), tuple(high))
        for label, low, high in zip(
            statistics.labels.tolist(), statistics.low.tolist(), statistics.high.tolist(), strict=True
        )
    ]


class NearBoxes:
    """Bounding boxes of labels, found by place."""

    def __init__(self, statistics: LabelStatistics) -> None:
        self._statistics = statistics
        self._bins: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for row in range(len(statistics)):
            for place in _bins_of(statistics.low[row], statistics.high[row]):
                self._bins[place].append(row)

    def contents(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> list[str]:
        """Return the content hashes of the labels whose boxes reach into a box, in rising order of the labels."""
        rows = sorted({row for place in _bins_of(low, high) for row in self._bins.get(place, ())})
        own = self._statistics
        inside = ((own.low[rows] < high) & (own.high[rows] > low)).all(axis=1)
        return [f"{a:016x}{b:016x}" for a, b in own.content[rows][inside].tolist()]


def _bins_of(low: NDArray[np.int64], high: NDArray[np.int64]) -> Iterator[tuple[int, ...]]:
    sides = zip(low.tolist(), high.tolist(), strict=True)
    return product(*(range(a // BIN_EDGE, (b - 1) // BIN_EDGE + 1) for a, b in sides))


def encode_inside(one: Inside) -> Mapping[str, Any]:
    """Encode the measurements of an object as JSON."""
    return {
        "numbers": [getattr(one, name) for name in NUMBERS],
        "nuclei": one.nuclei,
        "hull": b64encode(zlib.compress(one.hull_um.astype("<f4").tobytes())).decode(),
        "inside": one.inside_um.tolist(),
        "rim": None if one.rim is None else encode_faces(one.rim),
        "pieces": one.pieces_um.tolist(),
        "cuts": [_encode_cut(cut) for cut in one.cuts],
    }


NUMBERS = (
    "volume_um3",
    "hull_um3",
    "gradient",
    "logit",
    "flow_length",
    "flow_error",
    "nucleus_overlap",
    "second_piece",
    "slope",
)


def decode_inside(entry: Any) -> Inside:
    """Decode what `encode_inside` encoded."""
    numbers = dict(zip(NUMBERS, map(float, entry["numbers"]), strict=True))
    hull = np.frombuffer(zlib.decompress(b64decode(entry["hull"])), "<f4").reshape(-1, 3)
    return Inside(
        hull_um=hull,
        inside_um=np.array(entry["inside"], np.float64).reshape(3),
        rim=None if entry["rim"] is None else decode_faces(entry["rim"]),
        nuclei=int(entry["nuclei"]),
        cuts=tuple(map(_decode_cut, entry["cuts"])),
        pieces_um=np.array(entry["pieces"], np.float64).reshape(-1, 3),
        **numbers,
    )


def encode_faces(faces: FaceEvidence) -> list[float]:
    """Encode the evidence of a contact as JSON."""
    means = (faces.area_um2, faces.gradient, faces.gradient_low, faces.logit, faces.divergence, faces.nucleus)
    return [*means, *faces.centre_um.tolist()]


def decode_faces(entry: Any) -> FaceEvidence:
    """Decode what `encode_faces` encoded."""
    area, gradient, low, logit, divergence, nucleus, *centre = map(float, entry)
    return FaceEvidence(
        area, gradient, low, logit, divergence, nucleus, np.array(centre, np.float64).reshape(3)
    )


def _encode_cut(cut: Cut) -> list[Any]:
    shape = [*cut.volumes_um3, cut.enclosed, cut.neck, cut.hull_ratio]
    return [cut.source, encode_faces(cut.faces), shape, list(cut.nuclei), cut.seeds_um.tolist()]


def _decode_cut(entry: Any) -> Cut:
    source, faces, (small, large, enclosed, neck, hull_ratio), (one, other), seeds = entry
    return Cut(
        str(source),
        decode_faces(faces),
        (float(small), float(large)),
        float(enclosed),
        float(neck),
        float(hull_ratio),
        (int(one), int(other)),
        np.array(seeds, np.float64).reshape(2, 3),
    )
