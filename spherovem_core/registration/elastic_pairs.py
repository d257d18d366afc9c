"""Local motion between two placed slices: windows of texture, tied by a mesh that resists bending."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.linalg import solveh_banded

from spherovem_core.registration.affine import Matrix, compose, invert, scale_coordinates, shift_matrix
from spherovem_core.registration.crop import Rectangle
from spherovem_core.registration.elastic_mesh import Mesh
from spherovem_core.registration.normal_equations import OUTLIER_SIGMAS
from spherovem_core.registration.pyramid import Level, hidden_parts
from spherovem_core.registration.series_noise import NORMAL_MAD

if TYPE_CHECKING:
    from torch import Tensor

ITERATIONS = 4
COARSE_ITERATIONS = 8
CORRELATED_PIXELS = 25.0
BENDING = 0.1
POSITION = 2e-3
UNITS_PER_PX = 256.0
LIMIT_PX = 120.0
TOLERANCE_PX = 0.02
LEAST_ALIKE, WELL_ALIKE = 0.3, 0.7


@dataclass(frozen=True)
class LocalMotion:
    """Local motion from one placed slice to another.

    Attributes
    ----------
    displacement : (rows, columns, 2) ndarray of float64
        At each node r of the mesh, in reference pixels (y, x): the first slice shows at r plus its known field what the second
        one shows there plus the displacement.
    information : (rows, columns) ndarray of float64
        Inverse of the variance of the displacement that the texture at the node measures, in px⁻²; 0 where there is none.
    similarity_before, similarity_after
        Correlation of the placed slices without and with the displacement.
    """

    displacement: NDArray[np.float64]
    information: NDArray[np.float64]
    similarity_before: float
    similarity_after: float

    def to_record(self) -> dict[str, Any]:
        """Convert to JSON values: displacements to 1/256 px, information to three digits."""
        units = np.rint(np.clip(self.displacement, -LIMIT_PX, LIMIT_PX) * UNITS_PER_PX).astype("<i2")
        information = np.minimum(self.information, 6e4).astype("<f2")
        return {
            "shape": list(self.information.shape),
            "displacement": base64.b64encode(units.tobytes()).decode(),
            "information": base64.b64encode(information.tobytes()).decode(),
            "similarity_before": self.similarity_before,
            "similarity_after": self.similarity_after,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Rebuild from `to_record`."""
        shape = tuple(record["shape"])
        units = np.frombuffer(base64.b64decode(record["displacement"]), "<i2")
        information = np.frombuffer(base64.b64decode(record["information"]), "<f2")
        return cls(
            units.reshape(*shape, 2) / UNITS_PER_PX,
            information.reshape(shape).astype(np.float64),
            record["similarity_before"],
            record["similarity_after"],
        )


def measure_local_motion(
    fixed: list[PlacedSlice],
    moving: list[PlacedSlice],
    fields: tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]],
) -> LocalMotion:
    """Measure the motion between two placed slices at the nodes of a mesh.

    From coarse to fine, every node's window gives a displacement by the scheme of Lucas and Kanade (1981) with an information
    matrix; all nodes together minimise the misfit to these and the bending energy of the mesh, as Saalfeld et al. (2012)
    relax a mesh on block matches. A window without texture has no information and follows its neighbours; one whose texture runs
    in one direction measures across it alone.

    Parameters
    ----------
    fixed, moving : list of PlacedSlice
        From fine to coarse.
    fields : pair of (rows, columns, 2) ndarrays
        Known part of the displacement of each of the two; the mesh bends only by what is measured on top of it.
    """
    known = [np.asarray(field, dtype=np.float64) for field in fields]
    views = [level.sample(known[0]) for level in fixed]
    displacement = np.zeros_like(known[1])
    information = np.zeros((*displacement.shape, 2))
    before = _correlation(views[0], moving[0].sample(known[1]))
    for number in reversed(range(len(moving))):
        level = moving[number]
        for _ in range(ITERATIONS if number == 0 else COARSE_ITERATIONS):
            information, pull = _window_equations(
                views[number], level.sample(known[1] + displacement), level, displacement
            )
            proposed = relax(information, pull)
            change = float(np.abs(proposed - displacement).max())
            displacement = proposed
            if change < TOLERANCE_PX * level.factor:
                break
    after = _correlation(views[0], moving[0].sample(known[1] + displacement))
    trace = 0.5 * np.trace(information, axis1=2, axis2=3)
    return LocalMotion(known[1] + displacement - known[0], trace, before, after)


class PlacedSlice:
    """A slice at one resolution, to be sampled on the frame through its affine map and a field."""

    def __init__(
        self, level: Level, matrix: Matrix, frame: Rectangle, mesh: Mesh, hidden: Tensor | None = None
    ) -> None:
        import torch

        self.factor, self.image, self.hidden = level.factor, level.image[0], hidden
        scale = scale_coordinates(self.factor)
        self.matrix = compose(
            invert(scale), compose(matrix, compose(shift_matrix(frame.y0, frame.x0), scale))
        )
        sides = [max(2, n // self.factor) for n in frame.shape]
        places = [
            start + np.arange(n) * self.factor + (self.factor - 1) / 2
            for n, start in zip(sides, (frame.y0, frame.x0), strict=True)
        ]

        def tensor(values: NDArray[Any]) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=self.image.device)

        self.down, self.along = (tensor(m) for m in mesh.interpolation(*places))
        self.windows = [tensor(_hats(p, n)) for p, n in zip(places, mesh.positions(), strict=True)]
        self.y, self.x = tensor(np.arange(sides[0]))[:, None], tensor(np.arange(sides[1]))[None]

    def sample(self, displacement: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Sample the slice where the displacement of the nodes leads; also return where that is inside it and not hidden."""
        import torch

        nodes = torch.as_tensor(displacement / self.factor, dtype=torch.float32, device=self.image.device)
        dy, dx = (self.down @ nodes[..., axis] @ self.along.T for axis in range(2))
        places = self.y + dy, self.x + dx
        sampled, inside = _sample(self.image, self.matrix, *places)
        if self.hidden is not None:
            inside &= _sample(self.hidden, self.matrix, *places)[0] <= 0.0
        return sampled, inside


def place_levels(
    levels: list[Level],
    matrix: Matrix,
    frame: Rectangle,
    mesh: Mesh,
    pattern: NDArray[np.float32] | None = None,
) -> list[PlacedSlice]:
    """Place all resolutions of a slice; where the pattern fixed to the frame is NaN, the slice is hidden."""
    hidden = hidden_parts(pattern, levels)
    return [PlacedSlice(level, matrix, frame, mesh, part) for level, part in zip(levels, hidden, strict=True)]


def _correlation(fixed: tuple[Tensor, Tensor], moving: tuple[Tensor, Tensor]) -> float:
    """Compute the correlation on the overlap."""
    mask = fixed[1] & moving[1]
    a, b = fixed[0][mask], moving[0][mask]
    if a.numel() < 16:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    power = float((a * a).sum() * (b * b).sum())
    return float((a * b).sum()) / power**0.5 if power > 0.0 else 0.0


def _window_equations(
    fixed: tuple[Tensor, Tensor],
    moving: tuple[Tensor, Tensor],
    level: PlacedSlice,
    displacement: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the information matrix (rows, columns, 2, 2) of each window, and that times the window's displacement."""
    mask = (fixed[1] & moving[1]).float()
    residual = fixed[0] - moving[0]
    known = residual[mask > 0]
    spread = max(float(known.abs().median()) * NORMAL_MAD, 1e-3) if known.numel() else 1.0
    weight = mask / (1.0 + (residual / (OUTLIER_SIGMAS * spread)) ** 2) ** 2
    (ay, ax), (by, bx) = _gradients(fixed[0]), _gradients(moving[0])
    gy, gx = 0.5 * (ay + by), 0.5 * (ax + bx)
    wy, wx = weight * gy, weight * gx
    down, along = level.windows
    common = weight * (ay * by + ax * bx)
    products = (wy * gy, wy * gx, wx * gx, wy * residual, wx * residual, weight * residual**2, weight, common)
    yy, yx, xx, ry, rx, power, total, shared = (
        (down @ product @ along.T).double().cpu().numpy() for product in products
    )
    overall = power.sum() / max(float(total.sum()), 1e-9)
    variance = (power + CORRELATED_PIXELS * overall) / (total + CORRELATED_PIXELS)
    # Noise has gradients too, but the two slices do not share them; one window alone shows by chance that they do.
    ratio = ndimage.uniform_filter(shared, 3) / np.maximum(ndimage.uniform_filter(yy + xx, 3), 1e-12)
    alike = np.clip((ratio - LEAST_ALIKE) / (WELL_ALIKE - LEAST_ALIKE), 0.0, 1.0)
    scale = alike / (np.maximum(variance, 1e-6) * CORRELATED_PIXELS * level.factor**2)
    hessian = np.stack([np.stack([yy, yx], -1), np.stack([yx, xx], -1)], -2) * scale[..., None, None]
    right = np.stack([ry, rx], -1) * scale[..., None] * level.factor
    return hessian, right + np.einsum("ijkl,ijl->ijk", hessian, displacement)


def relax(information: NDArray[np.float64], measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the displacement of all nodes that fits the windows and bends the mesh little.

    Parameters
    ----------
    information : (rows, columns, 2, 2) ndarray
        Of each window.
    measured : (rows, columns, 2) ndarray
        Information times the window's displacement.
    """
    rows, columns = information.shape[:2]
    banded = _bending(rows, columns).copy()
    flat = information.reshape(-1, 2, 2)
    banded[0, 0::2] += flat[:, 0, 0]
    banded[0, 1::2] += flat[:, 1, 1]
    banded[1, 0::2] += flat[:, 1, 0]
    solved: NDArray[np.float64] = solveh_banded(banded, measured.reshape(-1), lower=True, check_finite=False)
    return solved.reshape(rows, columns, 2)


_BENDING: dict[tuple[int, int], NDArray[np.float64]] = {}


def _bending(rows: int, columns: int) -> NDArray[np.float64]:
    """Return the bending energy of a mesh as a matrix over (row, column, axis) in lower banded form."""
    if (rows, columns) not in _BENDING:
        from scipy import sparse

        def second(n: int) -> Any:
            return sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(n - 2, n))

        def first(n: int) -> Any:
            return sparse.diags([-1.0, 1.0], [0, 1], shape=(n - 1, n))

        eye = sparse.identity
        operators = [
            sparse.kron(second(rows), eye(columns)),
            sparse.kron(eye(rows), second(columns)),
            2**0.5 * sparse.kron(first(rows), first(columns)),
        ]
        energy = BENDING * sum(m.T @ m for m in operators) + POSITION * eye(rows * columns)
        energy = sparse.kron(energy.tocoo(), eye(2).tocoo(), format="coo")
        banded = np.zeros((4 * columns + 1, 2 * rows * columns))
        low = energy.row >= energy.col
        np.add.at(banded, (energy.row[low] - energy.col[low], energy.col[low]), energy.data[low])
        _BENDING[rows, columns] = banded
    return _BENDING[rows, columns]


def _hats(places: NDArray[np.floating[Any]], nodes: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the weight of each place in the window of each node, a triangle that reaches the next nodes."""
    step = nodes[1] - nodes[0]
    weights: NDArray[np.float64] = np.maximum(0.0, 1.0 - np.abs(places[None] - nodes[:, None]) / step)
    return weights


def _gradients(image: Tensor) -> tuple[Tensor, Tensor]:
    import torch

    gy, gx = torch.zeros_like(image), torch.zeros_like(image)
    torch.sub(image[2:], image[:-2], out=gy[1:-1]).mul_(0.5)
    gx[:, 1:-1] = (image[:, 2:] - image[:, :-2]) * 0.5
    return gy, gx


def _sample(image: Tensor, matrix: Matrix, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Sample an image linearly at ``matrix @ (y, x, 1)``; also return where that lies inside."""
    import torch
    import torch.nn.functional as nnf

    rows, columns = image.shape
    m = matrix.tolist()
    py = y * m[0][0] + x * m[0][1] + m[0][2]
    px = y * m[1][0] + x * m[1][1] + m[1][2]
    inside = (py >= 0.0) & (py <= rows - 1.0) & (px >= 0.0) & (px <= columns - 1.0)
    grid = torch.stack([px * (2.0 / max(columns - 1, 1)) - 1.0, py * (2.0 / max(rows - 1, 1)) - 1.0], -1)
    sampled = nnf.grid_sample(image[None, None], grid[None], padding_mode="border", align_corners=True)
    return sampled[0, 0], inside
