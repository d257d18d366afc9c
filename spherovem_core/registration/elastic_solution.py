"""Fields of all slices from the local motion of their pairs: what jitters is corrected, what changes slowly is tissue."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from spherovem_core.registration.elastic_course import (
    CourseLinks,
    CourseModel,
    fit_courses,
    fit_jitter_of_slices,
    solve_course,
)
from spherovem_core.registration.elastic_fields import ElasticFields, smallest_jacobian
from spherovem_core.registration.elastic_mesh import Mesh
from spherovem_core.registration.elastic_pairs import LocalMotion

FloatArray = NDArray[np.float64]
BANDS = (0.0, 1.3, 2.6, 4.0, 5.7, 8.0, 11.0)
"""Half waves along the longer side between which modes share one model; a quarter of the side is 8."""
ROUNDS = 6
FITS = (0, 2)
LITTLE_INFORMATION = 0.2
MIN_RMS_PX = 0.25
MIN_SLICES = 4
MIN_JACOBIAN = 0.1


def solve_fields(
    motions: Mapping[tuple[int, int], LocalMotion], good: Sequence[int], known: ElasticFields
) -> ElasticFields:
    """Find the field of each slice.

    Displacements are analysed in waves along y and x (a discrete cosine transform over the nodes). In each band of
    wavelengths, `CourseModel` separates the jitter of the slices from the course of the tissue; its variances are estimated
    from the stack (empirical Bayes), so that a band without jitter gives no field. The motion of a pair is measured where the
    known field of its first slice leads; the solution is repeated with it moved to where the solution leads.

    Parameters
    ----------
    motions
        Local motion of each pair of good slices.
    good
        Good slices in rising order.
    known : ElasticFields
        Fields at which the motions were measured, and the mesh.
    """
    rank = {z: k for k, z in enumerate(good)}
    pairs = sorted(motions)
    start = known.nodes[list(good)].astype(np.float64)
    still = ElasticFields(known.mesh, np.zeros_like(known.nodes))
    if len(good) < MIN_SLICES:
        return still
    first = np.array([rank[a] for a, _ in pairs])
    distance = np.array([rank[b] - rank[a] for a, b in pairs])
    weight = np.array([_trust(motions[pair]) for pair in pairs])
    bands, fields = _bands(known.mesh), start
    models: list[CourseModel] = []
    expected = start[first + distance] - start[first]
    for number in range(ROUNDS):
        onward = [fields[k] - start[k] for k in first]
        measured = np.stack(
            [_moved(motions[pair], way, known.mesh) for pair, way in zip(pairs, onward, strict=True)]
        )
        waves = fft.dctn(_complete(measured, expected), axes=(1, 2), norm="ortho")
        links = [
            CourseLinks(first, distance, weight, waves[:, band].reshape(len(pairs), -1), len(good))
            for band in bands
        ]
        if number in FITS:
            models = fit_courses(links)
            if not any(model.jitter.any() for model in models):
                return still
        found, predicted = np.zeros_like(fields), np.zeros_like(waves)
        for band, values, model in zip(bands, links, models, strict=True):
            jitter, _, by_link = solve_course(values, fit_jitter_of_slices(values, model))
            found[:, band] = jitter.reshape(len(good), -1, 2)
            predicted[:, band] = by_link.reshape(len(pairs), -1, 2)
        fields = fft.idctn(found, axes=(1, 2), norm="ortho")
        expected = fft.idctn(predicted, axes=(1, 2), norm="ortho")
    evidence = np.zeros(fields.shape[:3])
    for k, known_here in zip(first, _known(measured), strict=True):
        evidence[k : k + 2] = np.maximum(evidence[k : k + 2], known_here[..., 0])
    still.nodes[list(good)] = fields * _kept(fields, evidence)[:, None, None, None]
    return still


def _complete(measured: FloatArray, expected: FloatArray) -> FloatArray:
    """Fill in what windows do not measure by what the solution so far expects (Dempster, Laird and Rubin 1977).

    Parameters
    ----------
    measured : (m, rows, columns, 3) ndarray
        Displacement (y, x) and information of each window of each pair.
    expected : (m, rows, columns, 2) ndarray
        Displacement by the solution so far, at first by the known fields alone: what the mesh continues from tissue into resin
        grows with the distance and would pass for jitter.
    """
    displacement = measured[..., :2]
    return expected + _known(measured) * (displacement - expected)


def _known(measured: FloatArray) -> FloatArray:
    """Return how much each window knows about its displacement, 0 to 1."""
    known: FloatArray = measured[..., 2:] / (measured[..., 2:] + LITTLE_INFORMATION)
    return known


def _trust(motion: LocalMotion) -> float:
    return 1.0 if motion.similarity_after > 0.1 else 1e-3


def _bands(mesh: Mesh) -> list[NDArray[np.bool_]]:
    """Return which waves belong to each band."""
    height, width = mesh.step_y_px * (mesh.rows - 1), mesh.step_x_px * (mesh.columns - 1)
    longest = max(height, width)
    down = np.arange(mesh.rows)[:, None] * (longest / height)
    along = np.arange(mesh.columns)[None] * (longest / width)
    waves = np.hypot(down, along)
    bands = [(waves >= low) & (waves < high) for low, high in itertools.pairwise(BANDS)]
    return [band for band in bands if band.any()]


def _moved(motion: LocalMotion, way: FloatArray, mesh: Mesh) -> FloatArray:
    """Read displacement and information at the nodes plus `way`: (rows, columns, 3)."""
    values = np.concatenate([motion.displacement, motion.information[..., None]], -1)
    if not way.any():
        return values
    y, x = np.meshgrid(*mesh.positions(), indexing="ij")
    moved = mesh.sample(values, y + way[..., 0], x + way[..., 1])
    moved[..., 2] = np.maximum(moved[..., 2], 0.0)
    return moved


def _kept(fields: FloatArray, evidence: FloatArray) -> FloatArray:
    """Return the factor of each slice: 0 for fields too small to matter where the slice has texture, near 1 for large ones."""
    total = np.maximum(evidence.sum((1, 2)), 1e-12)
    power = ((fields**2).sum(-1) * evidence).sum((1, 2)) / total
    kept: FloatArray = np.clip(1.0 - MIN_RMS_PX**2 / np.maximum(power, 1e-12), 0.0, None)
    return kept


def limit_folds(fields: ElasticFields) -> tuple[ElasticFields, list[int]]:
    """Scale down fields that fold; return the slices where it was needed."""
    nodes, folded = fields.nodes.copy(), []
    for z in range(len(nodes)):
        scale = 1.0
        while smallest_jacobian(fields.mesh, nodes[z] * scale) < MIN_JACOBIAN and scale > 0.05:
            scale *= 0.8
        if scale < 1.0:
            folded.append(z)
            nodes[z] *= np.float32(scale)
    return replace(fields, nodes=nodes), folded
