"""Zoomed view of the nanoparticles chapter: outlines of particles, boxes of other objects, and the posterior."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS
from spherovem_core.report.figures import OUTLINE_COLOURS
from spherovem_core.report.images import map_plane, plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Panel, Picture
from spherovem_core.report.views import View, contrast_limits, cut, window_around
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store import StoredArray
from spherovem_core.store.layout import NANOPARTICLES, POSTERIOR, REGISTERED

WINDOW_PX = 192
DETECTED = (
    ", outlines of the particles (red), boxes around other objects (blue), and the posterior of each voxel"
)
OTHER_COLOUR = "#35c2ff"


def zoomed_view(inputs: ReportInputs, others: pd.DataFrame) -> Picture:
    """Show the image, outlines and the posterior where particles are densest, or other objects if there are none."""
    image, labels, posterior = (inputs.open_level(group) for group in (REGISTERED, NANOPARTICLES, POSTERIOR))
    particles = inputs.tables["nanoparticles"]
    centre = densest_place(particles if len(particles) else others, image)
    window = window_around(image, {1: centre[1], 2: centre[2]}, WINDOW_PX)
    view, found = (cut(stored, 0, centre[0], window) for stored in (image, labels))
    limits = contrast_limits([view.values])
    overlays = [
        (box_labels(others, view, image), OTHER_COLOUR),
        (found, OUTLINE_COLOURS["nanoparticles"]),
    ]
    panels: list[Panel] = [
        plane(view, limits, title="image", sharp=True),
        plane(view, limits, overlays, title="outlines", sharp=True),
    ]
    if computed := posterior.details.get("computed", True):
        chance = cut(posterior, 0, centre[0], window)
        panels.append(map_plane(chance, (0.0, 1.0), "magma", "posterior", title="posterior"))
    if len(particles):
        place = "where particles are densest"
    else:
        place = "where other objects are densest" if len(others) else "in the middle"
    return Picture(
        panels,
        f"The registered image{DETECTED if computed else ' and outlines of the particles (red)'}, {place}, at "
        f"z = {view.position_um:.2f} µm.",
    )


def box_labels(objects: pd.DataFrame, view: View, image: StoredArray) -> View:
    """Paint the bounding boxes of the objects that a plane across z cuts; later objects cover earlier ones.

    Parameters
    ----------
    objects
        Table with bounding boxes in voxels of `image`.
    view
        Plane of `image` across z, at full resolution.
    """
    spacing, origin = np.array(image.spacing_nm) / NM_PER_UM, np.array(image.origin_nm) / NM_PER_UM
    left, _, _, top = view.extent_um
    z = round((view.position_um - origin[0]) / spacing[0])
    row = round((top - origin[1]) / spacing[1] + 0.5)
    column = round((left - origin[2]) / spacing[2] + 0.5)
    painted = np.zeros(view.values.shape, np.uint32)
    for number, (z0, y0, x0, z1, y1, x1) in enumerate(objects[list(BOX_COLUMNS)].to_numpy(np.int64), 1):
        if z0 <= z < z1:
            painted[max(y0 - row, 0) : max(y1 - row, 0), max(x0 - column, 0) : max(x1 - column, 0)] = number
    return View(painted, view.extent_um, view.plane, view.position_um)


def densest_place(objects: pd.DataFrame, image: StoredArray) -> NDArray[np.float64]:
    """Find the position (z, y, x) in µm of the box with most objects, or the middle of the volume if there are none.

    Boxes are as wide as the window and as deep as the median object.
    """
    spacing, shape = np.array(image.spacing_nm) / NM_PER_UM, np.array(image.shape)
    if objects.empty:
        return np.asarray(shape // 2 * spacing)
    centres = objects[list(CENTROID_COLUMNS)].to_numpy(float)
    deep = max(float(objects["equivalent_diameter_um"].median()), spacing[0])
    boxes = np.floor(centres / np.array([deep, *(WINDOW_PX * spacing[1:])])).astype(int)
    _, box, counts = np.unique(boxes, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(np.median(centres[box.ravel() == counts.argmax()], axis=0))
