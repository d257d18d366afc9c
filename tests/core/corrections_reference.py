"""Operations applied to labels in memory, in the plainest way: the reference for what they mean."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.corrections import Add, Anchor, Delete, MaskCodes, Merge, Operation, Replace
from spherovem_core.spacing import SpacingNm, voxel_volume_um3


def apply_plainly(
    labels: NDArray[np.integer[Any]],
    operations: Sequence[Operation],
    spacing_nm: SpacingNm,
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
) -> NDArray[np.int64]:
    """Apply operations in their order; an anchor must hit an object of its volume."""
    labels = labels.astype(np.int64)

    def index(point_um: Sequence[float]) -> tuple[int, ...]:
        place = (np.array(point_um) * 1000 - origin_nm) / spacing_nm
        assert np.allclose(place, np.round(place), atol=1e-6)
        return tuple(np.round(place).astype(int).tolist())

    def hit(anchor: Anchor) -> int:
        label = int(labels[index(anchor.point_um)])
        assert label > 0, f"{anchor} hits the background"
        volume = np.count_nonzero(labels == label) * voxel_volume_um3(spacing_nm)
        assert anchor.volume_um3 is not None
        assert np.isclose(anchor.volume_um3, volume), f"{anchor} hits an object of {volume} µm³"
        return label

    def painted(mask: MaskCodes) -> tuple[tuple[slice, ...], NDArray[np.uint8]]:
        assert mask.spacing_nm == spacing_nm
        low = index(mask.origin_um)
        return tuple(slice(a, a + n) for a, n in zip(low, mask.shape, strict=True)), mask.unpack()

    for operation in operations:
        new = int(labels.max()) + 1
        if isinstance(operation, Delete):
            labels[labels == hit(operation.object)] = 0
        elif isinstance(operation, Merge):
            objects = [hit(anchor) for anchor in operation.objects]
            assert len(set(objects)) == len(objects)
            labels[np.isin(labels, objects)] = objects[0]
        elif isinstance(operation, Add):
            box, codes = painted(operation.mask)
            labels[box][(codes > 0) & (labels[box] == 0)] = new
        elif isinstance(operation, Replace):
            targets = [new if target is None else hit(target) for target in operation.targets]
            assert targets.count(new) <= 1
            box, codes = painted(operation.mask)
            view = labels[box]
            for code, number in enumerate([0, *targets], start=1):
                view[codes == code] = number
        else:
            raise TypeError(operation)
    return labels


def same_up_to_numbers(first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]]) -> bool:
    """Return whether both label volumes have the same objects, whatever their numbers."""
    one, other = first.astype(np.int64), second.astype(np.int64)
    pairs = np.unique(one * 2**32 + other)
    return (
        len(np.unique(one)) == len(pairs) == len(np.unique(other)) and not ((one == 0) != (other == 0)).any()
    )
