"""The phantom of the demo shows what its table of shapes and its comparison need."""

import numpy as np

from deployments.command_line.demo_run import DEMO_PHANTOM
from spherovem_core.spacing import spacing_um
from spherovem_core.synthetic.phantom.sample import build_sample


def test_the_demo_has_whole_cells_resin_droplets_and_thick_slices() -> None:
    sample = build_sample(DEMO_PHANTOM)
    # Every second slice and fourth pixel; a slice and 15 pixels along each side are left to the crop of the registration.
    extent = np.array(DEMO_PHANTOM.shape) * spacing_um(DEMO_PHANTOM.spacing_nm)
    crop = (0.12, 0.6, 0.6)
    axes = [
        np.arange(cut, length - cut, step)
        for cut, length, step in zip(crop, extent, (0.24, 0.16, 0.16), strict=True)
    ]
    located = sample.tissue.locate_grid(*axes)
    cells = np.where(located.cell_depth_um > 0, located.cell, -1)
    faces = [np.take(cells, side, axis) for axis in range(3) for side in (0, -1)]
    whole = np.setdiff1d(cells, np.concatenate([face.ravel() for face in faces]))
    volumes = np.bincount(cells[cells >= 0], minlength=cells.max() + 1)[whole] * 0.24 * 0.16 * 0.16
    # Those below 20 µm³, a third of the mean, are fragments at the surface of the spheroid.
    assert np.sum(volumes > 20) >= 15
    assert np.mean(located.outside_um > 0) > 0.1
    assert len(sample.bodies) > 20
    assert DEMO_PHANTOM.section_thickness == 1
