"""Random crops of labelled slices, changed as electron micrographs differ from each other.

Torch resamples, since careamics and cellpose bring it along; the libraries for augmentation know no flow fields.
"""

from typing import TYPE_CHECKING

import numpy as np

from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.fine_tuning.targets import FLOW_X, FLOW_Y, KNOWN

if TYPE_CHECKING:
    from torch import Tensor

ELASTIC_CELLS_PX = (16.0, 48.0)
"""Distance of the nodes of the elastic deformation."""
MAX_BLUR_RADIUS = 4


def draw_crop(
    section: "Tensor", size: int, parameters: FineTuningParameters, generator: np.random.Generator
) -> "tuple[Tensor, Tensor]":
    """Draw one crop: turned, mirrored, scaled, deformed, and changed in contrast, sharpness and noise.

    Parameters
    ----------
    section : (5, Y, X) Tensor
        Image with 0 and 1 at black and white, and the targets of `training_targets`.
    size
        Side of the crop in pixels.

    Returns
    -------
    image : (size, size) Tensor
    targets : (4, size, size) Tensor
        Flows are turned with the crop and keep their length. What lies outside the section is 0 in the image, and unknown.
    """
    import torch
    from torch.nn import functional

    rows, columns = section.shape[1:]
    y, x = _places(rows, columns, size, parameters, generator)
    grid = torch.stack([2 * x / max(columns - 1, 1) - 1, 2 * y / max(rows - 1, 1) - 1], dim=-1)[None]
    image = functional.grid_sample(
        section[None, :1], grid, mode="bilinear", padding_mode="reflection", align_corners=True
    )[0, 0]
    targets = functional.grid_sample(
        section[None, 1:], grid, mode="nearest", padding_mode="zeros", align_corners=True
    )[0]
    image = _change_intensities(image, parameters, generator)
    # cellpose.core.run_net pads a section, or a thin volume, with zeros.
    inside = (y >= 0) & (y <= rows - 1) & (x >= 0) & (x <= columns - 1)
    return torch.where(inside, image, torch.zeros(())), _turn_flows(targets, y, x)


def _places(
    rows: int, columns: int, size: int, parameters: FineTuningParameters, generator: np.random.Generator
) -> "tuple[Tensor, Tensor]":
    """Draw the place (y, x) in the section of every pixel of a crop."""
    import torch

    angle = generator.uniform(0, 2 * np.pi)
    size_change, stretch = np.exp(
        generator.uniform(-1, 1, 2) * np.array([0.5, 0.25]) * parameters.scale_range
    )
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([size_change * stretch, size_change / stretch])
    if generator.random() < 0.5:
        matrix[:, 1] *= -1
    # The crop may reach beyond the section by some of its extent; objects at the rim would be seen rarely otherwise.
    reach = 0.35 * size * np.abs(matrix).sum(axis=1)
    centre = [
        generator.uniform(min(r, n / 2), max(n - r, n / 2))
        for r, n in zip(reach, (rows, columns), strict=True)
    ]
    offsets = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    v, u = torch.meshgrid(offsets, offsets, indexing="ij")
    if parameters.elastic_px:
        shift = _smooth_field(2, size, generator.uniform(*ELASTIC_CELLS_PX), generator)
        shift = shift * float(generator.uniform(0, parameters.elastic_px))
        v, u = v + shift[0], u + shift[1]
    (a, b), (c, d) = matrix.tolist()
    return centre[0] + a * v + b * u, centre[1] + c * v + d * u


def _turn_flows(targets: "Tensor", y: "Tensor", x: "Tensor") -> "Tensor":
    """Turn flows of the section into the crop by the inverse of the local map (y, x), and restore their length."""
    import torch

    (yv, yu), (xv, xu) = torch.gradient(y), torch.gradient(x)
    flow_y, flow_x = targets[FLOW_Y], targets[FLOW_X]
    # The inverse without its positive or negative determinant; the sign matters, the size does not.
    sign = torch.sign(yv * xu - yu * xv)
    turned_y, turned_x = sign * (xu * flow_y - yu * flow_x), sign * (yv * flow_x - xv * flow_y)
    length = torch.sqrt(flow_y**2 + flow_x**2) / torch.sqrt(turned_y**2 + turned_x**2).clamp(min=1e-6)
    return torch.cat([torch.stack([turned_y * length, turned_x * length]), targets[KNOWN - 1 :]])


def _change_intensities(
    image: "Tensor", parameters: FineTuningParameters, generator: np.random.Generator
) -> "Tensor":
    """Change gain, offset, gamma, shading, sharpness and noise; lose blocks and lines, as of missing slices."""
    import torch

    strength = parameters.contrast_range
    if parameters.inversion and generator.random() < 0.5:
        image = 1 - image
    gain, offset = np.exp(generator.uniform(-1, 1) * strength), generator.uniform(-0.5, 0.5) * strength
    image = (image - 0.5) * float(gain) + 0.5 + float(offset)
    if generator.random() < 0.5:
        gamma = float(np.exp(generator.uniform(-1, 1) * strength))
        # Intensities beyond black and white keep their order.
        image = ((image.clamp(-0.3, 1.3) + 0.3) / 1.6) ** gamma * 1.6 - 0.3
    if generator.random() < 0.3:
        image = image + 0.25 * strength * _smooth_field(1, len(image), len(image) / 2, generator)[0]
    if parameters.blur_px and generator.random() < 0.3:
        image = _blur(image, generator.uniform(0.25, 1) * parameters.blur_px)
    noise = generator.standard_normal(tuple(image.shape), np.float32)
    image = image + torch.from_numpy(noise) * float(generator.uniform(0, parameters.noise))
    if generator.random() < parameters.missing_fraction:
        _lose_part(image, generator)
    return image


def _smooth_field(count: int, size: int, cell: float, generator: np.random.Generator) -> "Tensor":
    """Draw smooth random maps (count, size, size) of standard deviation about 1, with nodes `cell` pixels apart."""
    import torch
    from torch.nn import functional

    nodes = max(int(size / cell) + 3, 4)
    values = torch.from_numpy(generator.standard_normal((1, count, nodes, nodes), np.float32))
    return functional.interpolate(values, size=(size, size), mode="bicubic", align_corners=True)[0]


def _blur(image: "Tensor", sigma: float) -> "Tensor":
    import torch
    from torch.nn import functional

    steps = torch.arange(-MAX_BLUR_RADIUS, MAX_BLUR_RADIUS + 1, dtype=torch.float32)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = functional.pad(image[None, None], (MAX_BLUR_RADIUS,) * 4, mode="reflect")
    rows = functional.conv2d(padded, kernel.view(1, 1, -1, 1))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1))[0, 0]


def _lose_part(image: "Tensor", generator: np.random.Generator) -> None:
    """Overwrite a block, or a few lines, which is how a missing slice looks from the side."""
    size = len(image)
    grey = float(generator.choice([0.0, float(image.mean()), 1.0]))
    if generator.random() < 0.5:
        thickness = int(generator.integers(1, 4))
        start = int(generator.integers(0, size - thickness))
        place = (slice(start, start + thickness), slice(None))
        image[place if generator.random() < 0.5 else place[::-1]] = grey
        return
    sides = generator.integers(size // 16 + 1, size // 4 + 2, 2).tolist()
    corner = [int(generator.integers(0, size - side)) for side in sides]
    image[corner[0] : corner[0] + sides[0], corner[1] : corner[1] + sides[1]] = grey
