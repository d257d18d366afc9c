"""Displacement fields of all slices of a stack, kept at the nodes of one mesh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.registration.elastic_mesh import Mesh


@dataclass(frozen=True)
class ElasticFields:
    """Smooth displacement fields on top of the affine maps.

    The pixel r of the reference frame shows what slice z shows at ``transforms[z] @ (r + u, 1)``, where u is the cubic spline
    through the nodes at r.

    Attributes
    ----------
    mesh : Mesh
        Places of the nodes.
    nodes : (Z, rows, columns, 2) ndarray of float32
        Displacement (y, x) at each node, in reference pixels. A slice that is not refined has zeros.
    """

    mesh: Mesh
    nodes: NDArray[np.float32]

    def of_slice(self, z: int) -> NDArray[np.float32] | None:
        """Return the (rows, columns, 2) displacements of a slice; None if it is not refined."""
        nodes = self.nodes[z]
        return nodes if nodes.any() else None

    def rms_px(self) -> NDArray[np.float64]:
        """Return the root mean square length of each slice's field."""
        return np.asarray(np.sqrt((self.nodes.astype(np.float64) ** 2).sum(-1).mean((1, 2))))

    def max_px(self) -> NDArray[np.float64]:
        """Return the largest length at a node of each slice's field."""
        return np.asarray(np.sqrt((self.nodes.astype(np.float64) ** 2).sum(-1).max((1, 2))))

    def save(self, path: Path) -> None:
        """Write to a compressed NumPy file; after a kill the file is whole or as before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        mesh = {f"mesh_{name}": value for name, value in self.mesh.to_record().items()}
        with partial.open("wb") as file:
            np.savez_compressed(file, nodes=self.nodes, **mesh)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with path.open("rb") as file, np.load(file) as stored:
            mesh = {name.removeprefix("mesh_"): stored[name].item() for name in stored if name != "nodes"}
            return cls(Mesh(**mesh), stored["nodes"])


def smallest_jacobian(mesh: Mesh, nodes: NDArray[np.floating[Any]]) -> float:
    """Return the smallest determinant of the gradient of ``r + u``, from differences between nodes; 0 or less is a fold."""
    values = np.asarray(nodes, dtype=np.float64)
    down = np.gradient(values, mesh.step_y_px, axis=0)
    along = np.gradient(values, mesh.step_x_px, axis=1)
    jacobian = (1.0 + down[..., 0]) * (1.0 + along[..., 1]) - down[..., 1] * along[..., 0]
    return float(jacobian.min())


def describe_fields(table: pd.DataFrame, fields: ElasticFields | None, limited: list[int]) -> pd.DataFrame:
    """Add the columns on the local fields to the table of slices."""
    still = np.zeros(len(table))
    return table.assign(
        elastic_rms_px=still if fields is None else fields.rms_px(),
        elastic_max_px=still if fields is None else fields.max_px(),
        elastic_limited=np.isin(np.arange(len(table)), limited),
    )
