"""Quick cases with an answer known in closed form or by construction, stage by stage."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests" / "core"))
from _nanoparticle_phantoms import STILL, compare_particles
from registration import Case, pairs_of
from segmentation_scenes import EVERYTHING, ideal, packed_cells
from shape_solids import Solid, capsule, cube, ellipsoid, sphere, torus
from spatial_scenes import brute_force_distance, random_tissue

from spherovem_core.nanoparticles import find_particles
from spherovem_core.registration import register_pair
from spherovem_core.registration.affine import rms_displacement
from spherovem_core.segmentation import masks_from_flows, match_labels
from spherovem_core.shape import measure_labels
from spherovem_core.spatial import distance_to_nucleus, ripley
from spherovem_core.synthetic.phantom import make_phantom

EQUAL, UNEQUAL = (10.0, 10.0, 10.0), (50.0, 10.0, 10.0)


@dataclass(frozen=True)
class Row:
    """One figure of one case, with its limit: the largest accepted value, or for a score the smallest."""

    case: str
    figure: str
    measured: float
    accepted: float
    form: str = "{:.3f}"
    score: bool = False

    @property
    def good(self) -> bool:
        """True if the figure is within its limit; False for NaN."""
        return self.measured >= self.accepted if self.score else self.measured <= self.accepted


@dataclass(frozen=True)
class StageCases:
    """Cases of one stage; `method` describes their making and the comparison."""

    name: str
    method: str
    rows: Callable[[], Iterator[Row]]


def registration_rows(pairs: int = 8) -> Iterator[Row]:
    """Register pairs of textures moved by known affine maps."""
    for case, accepted in (
        (Case("512 x 512, shift up to 20 px", (512, 512), 20), 0.05),
        (Case("512 x 512, shift up to 60 px", (512, 512), 60), 0.05),
        (Case("512 x 512, half the width", (512, 512), 0.5), 0.15),
    ):
        drawn = [(motion, *draw()) for motion, draw in pairs_of(case, pairs)]
        errors = [
            float(rms_displacement(register_pair(fixed, moving).matrix - motion, case.shape))
            for motion, fixed, moving in drawn
        ]
        yield Row(case.name, "median error (px)", float(np.median(errors)), accepted)
        yield Row(case.name, "largest error (px)", max(errors), 5 * accepted)


def segmentation_rows() -> Iterator[Row]:
    """Make masks of packed cells from the flows of an ideal network."""
    for shape, count in (((24, 120, 120), 40), ((40, 96, 96), 60)):
        labels = packed_cells(shape, count, seed=5)
        found = masks_from_flows(ideal(labels), EVERYTHING, UNEQUAL)
        match = match_labels(labels, found, iou=0.5)
        truth, measured = np.bincount(labels.ravel()), np.bincount(found.ravel())
        errors = [abs(measured[b] / truth[a] - 1) for a, b in match.matches.tolist()]
        name = f"{len(np.unique(labels)) - 1} cells in {' x '.join(map(str, shape))}"
        yield Row(name, "F1 at IoU 0.5", match.f1, 0.98, score=True)
        yield Row(name, "median volume error (%)", 100 * float(np.median(errors)), 1.0)


def nanoparticle_rows() -> Iterator[Row]:
    """Segment phantoms from seeds that were not used in development."""
    for fraction, seed in ((0.0, 9200), (0.002, 9201), (0.02, 9202)):
        phantom = make_phantom(
            shape=(40, 320, 320), seed=seed, nanoparticle_volume_fraction=fraction, **STILL
        )
        labels = find_particles(phantom.image, phantom.spacing_nm).labels
        if fraction == 0:
            yield Row("no particles", "particles found", float(labels.max()), 0, "{:.0f}")
            continue
        truth = phantom.nanoparticles
        both = 2 * int(((labels > 0) & (truth > 0)).sum())
        total = int((labels > 0).sum()) + int((truth > 0).sum())
        true, _, lost, false, split, merged = compare_particles(labels, truth).tolist()
        name = f"{100 * fraction:g} % of the volume, {true} particles"
        yield Row(name, "Dice", both / total, 0.9, score=True)
        yield Row(name, "lost, false or split (%)", 100 * (lost + false + split) / true, 10.0, "{:.1f}")
        yield Row(name, "merged with another (%)", 100 * merged / true, 20.0, "{:.1f}")


SOLIDS: tuple[tuple[str, float, Callable[[float, tuple[float, ...], np.random.Generator], Solid]], ...] = (
    ("ball of radius 5", 3.0, lambda h, s, rng: sphere(5 * h, s, rng)),
    ("ball of radius 8", 1.0, lambda h, s, rng: sphere(8 * h, s, rng)),
    ("ball of radius 16", 1.0, lambda h, s, rng: sphere(16 * h, s, rng)),
    ("ellipsoid of 20, 12, 8", 1.0, lambda h, s, rng: ellipsoid(np.array([20.0, 12.0, 8.0]) * h, s, rng)),
    ("torus of 16, 8", 1.0, lambda h, s, rng: torus(16 * h, 8 * h, s, rng)),
    ("capsule of 8, 20", 1.0, lambda h, s, rng: capsule(8 * h, 20 * h, s, rng)),
    ("cube of 32", 1.5, lambda h, s, rng: cube(32 * h, s, rng)),
)


def shape_rows(draws: int = 4) -> Iterator[Row]:
    """Measure solids at random positions and orientations; sizes are in units of the longest side of a voxel."""
    for title, factor, make in SOLIDS:
        for spacing in (EQUAL, UNEQUAL):
            rng = np.random.default_rng(7)
            errors = [_shape_errors(make(max(spacing), spacing, rng)) for _ in range(draws)]
            name = f"{title}, voxels of {' x '.join(f'{side:g}' for side in spacing)} nm"
            for figure, limit, form in SHAPE_FIGURES:
                mean = abs(float(np.mean([row[figure] for row in errors])))
                yield Row(name, figure, mean, factor * limit, form)


SHAPE_FIGURES = (
    ("volume (%)", 0.5, "{:.2f}"),
    ("area (%)", 0.5, "{:.2f}"),
    ("sphericity (%)", 0.5, "{:.2f}"),
    ("mean curvature (%)", 1.0, "{:.2f}"),
    ("fractal dimension", 0.03, "{:.3f}"),
)


def _shape_errors(solid: Solid) -> dict[str, float]:
    row = measure_labels(solid.labels, solid.spacing_nm).iloc[0]
    ball_area = np.pi ** (1 / 3) * (6 * solid.volume) ** (2 / 3)
    curvature = solid.total_mean_curvature / solid.area
    return {
        "volume (%)": 100 * (row.volume_um3 * 1e9 / solid.volume - 1),
        "area (%)": 100 * (row.surface_area_um2 * 1e6 / solid.area - 1),
        "sphericity (%)": 100 * (row.sphericity * solid.area / ball_area - 1),
        "mean curvature (%)": 100 * (row.mean_curvature_mean_per_um / 1e3 / curvature - 1),
        "fractal dimension": row.fractal_dimension - 2,
    }


def spatial_rows() -> Iterator[Row]:
    """Measure distances known in closed form or from all pairs of voxels, and the clustering of a lattice."""
    cells = np.ones((24, 20, 20), np.uint32)
    nuclei = np.zeros_like(cells)
    nuclei[:4] = 1
    distance = distance_to_nucleus(nuclei, cells, UNEQUAL)
    planes = np.maximum(np.arange(24) - 3, 0) * UNEQUAL[0] / 1000
    yield Row("flat nucleus", "largest error (nm)", _largest(distance - planes[:, None, None]), 0.01)
    grid = np.stack(np.meshgrid(*map(np.arange, (21, 81, 81)), indexing="ij"), axis=-1) - [10, 40, 40]
    radius = np.linalg.norm(grid * np.array(UNEQUAL), axis=-1)
    cells, nuclei = (radius < 400).astype(np.uint32), (radius < 200).astype(np.uint32)
    distance = distance_to_nucleus(nuclei, cells, UNEQUAL)
    beyond = (radius < 400) & (radius >= 200)
    yield Row(
        "ball in a ball, voxels of 50 x 10 x 10 nm",
        "largest error (nm)",
        _largest(distance[beyond] - (radius[beyond] - 200) / 1000),
        52.0,
        "{:.1f}",
    )
    cells, nuclei = random_tissue((8, 40, 40), seed=3)
    difference = distance_to_nucleus(nuclei, cells, UNEQUAL) - brute_force_distance(nuclei, cells, UNEQUAL)
    yield Row("random tissue against every pair of voxels", "largest error (nm)", _largest(difference), 0.01)
    points = np.stack(np.meshgrid(*[np.arange(12) + 0.5] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    table = ripley(points, np.zeros(3), np.full(3, 12.0), np.array([0.9, 1.2]))
    expected = np.array([0.0, 6 * 12**3 / (12**3 - 1)])
    error = float(np.abs(table["ripley_k_um3"] - expected).max())
    yield Row("cubic lattice of 1 µm", "Ripley's K at 0.9 and 1.2 µm (µm³)", error, 1e-9)


def _largest(difference: np.ndarray) -> float:
    """Find the largest absolute difference in nm, from differences in µm."""
    return 1000 * float(np.nanmax(np.abs(difference)))


STAGES = (
    StageCases(
        "registration",
        "Pairs of EM-like textures. The second slice is turned by up to 1°, stretched by up to 1 % and shifted, and differs in "
        "contrast, brightness and shading. Both have noise of standard deviation 20. The error is the root mean square over the "
        "slice.",
        registration_rows,
    ),
    StageCases(
        "segmentation",
        "Packed cells, some of them touching, and the flows of an ideal network. The figures show what is lost between flows "
        "and labels.",
        segmentation_rows,
    ),
    StageCases(
        "nanoparticles",
        "Phantoms of 40 x 320 x 320 voxels of 120 x 40 x 40 nm, from seeds that were not used in development, with default "
        "parameters.",
        nanoparticle_rows,
    ),
    StageCases(
        "shape",
        "Solids at random positions and orientations. Sizes are in units of the longest side of a voxel, errors are averaged "
        "over four draws.",
        shape_rows,
    ),
    StageCases(
        "spatial",
        "Distances to the nucleus, and clustering, in cases with a known answer.",
        spatial_rows,
    ),
)
