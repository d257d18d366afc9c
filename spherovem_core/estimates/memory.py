"""Memory that a run takes at most: grows with slices, blocks and workers, hardly with the number of slices."""

import math

from spherovem_core.estimates.sizes import SourceVolume
from spherovem_core.parameters import PipelineParameters
from spherovem_core.store.layout import OBJECT_KINDS

PROCESS_BYTES = 1_600_000_000
"""A process that has loaded Prefect, torch and the stages; 1.57 GB at the end of the demo's first stage."""
SLICE_BYTES = 56
"""Bytes a voxel of a slice: 946 MB with two workers on slices of 4096² in the search for nanoparticles, the greediest
of the stages that go slice by slice (benchmarks/nanoparticles.py)."""
BLOCK_BYTES = 130
"""Bytes a voxel of a block of masks with its halo: from the demo's peak of 2.8 GB in blocks of 64 x 384 x 384, whose
voxels are worked on by two threads."""


def peak_memory_bytes(volume: SourceVolume, parameters: PipelineParameters) -> int:
    """Expected peak of the process, in bytes; a network of its own size on a GPU is not counted."""
    by_slice = SLICE_BYTES * math.prod(volume.shape[1:])
    by_block = 0
    for kind in OBJECT_KINDS:
        own = getattr(parameters, kind)
        side = own.block_voxels + 2 * own.block_halo_voxels
        by_block = max(by_block, BLOCK_BYTES * math.prod(min(side, n) for n in volume.shape))
    return PROCESS_BYTES + max(by_slice, by_block)
