"""Sources of the voxel size that contradict one another."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport
from spherovem_core.ingest.voxel_size import VoxelSize, differs

TOLERANCE = 0.01


def contradiction_problems(reports: Sequence[FileReport], stated: VoxelSize | None) -> Iterator[Problem]:
    """Report files in which two sources state voxel sizes that differ by more than 1 %.

    Parameters
    ----------
    reports
        Reports of the files, with all voxel sizes that they and the files beside them state.
    stated
        Voxel size that the user states; its axes are not compared.
    """
    for report in reports:
        sizes = [_left_open(size, stated) for size in report.voxel_sizes]
        for one, other in combinations(sizes, 2):
            if differs(one, other, TOLERANCE):
                yield Problem(
                    f"{one.origin} and {other.origin} contradict each other: voxel size {one.text} and {other.text} "
                    "(z, y, x); find out which is right, and pass spacing_nm or add it to acquisition.json",
                    report.path.name,
                    about="spacing",
                )
                break


def _left_open(size: VoxelSize, stated: VoxelSize | None) -> VoxelSize:
    if stated is None:
        return size
    return VoxelSize(
        size.z_nm if stated.z_nm is None else None, size.yx_nm if stated.yx_nm is None else None, size.origin
    )
