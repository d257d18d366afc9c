"""The voxel size, combined from sources that each know a part of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from spherovem_core.spacing import SpacingNm

REMEDY = "pass spacing_nm (z, y, x) or add it to acquisition.json"


@dataclass(frozen=True)
class VoxelSize:
    """Voxel size in nm, as far as one source knows it.

    Attributes
    ----------
    z_nm
        Distance of two slices; None if the source does not know it.
    yx_nm
        Pixel height and width; None if the source does not know them both.
    origin
        Name of the source, for messages and the history.
    """

    z_nm: float | None
    yx_nm: tuple[float, float] | None
    origin: str

    @classmethod
    def from_axes(
        cls, z_nm: float | None, y_nm: float | None, x_nm: float | None, origin: str
    ) -> "VoxelSize":
        """Make a voxel size of three numbers; y without x, or x without y, is dropped."""
        return cls(z_nm, None if y_nm is None or x_nm is None else (y_nm, x_nm), origin)

    @property
    def has_values(self) -> bool:
        """True if z is known, or y and x."""
        return self.z_nm is not None or self.yx_nm is not None

    @property
    def text(self) -> str:
        """The sides z, y and x in words, with a question mark for one that the source does not know."""
        values = (self.z_nm, *(self.yx_nm or (None, None)))
        return "(" + ", ".join("?" if value is None else f"{value:g}" for value in values) + ") nm"


def of_single_precision(length_nm: float | None) -> float | None:
    """Round a length that was stored as a 32-bit float to the seven digits that it has: 0.05 µm is 50 nm."""
    return None if length_nm is None else float(f"{length_nm:.7g}")


def combine(sizes: Sequence[VoxelSize]) -> VoxelSize:
    """Take z, and y with x, each from the first source that knows it."""
    depth = next((size for size in sizes if size.z_nm is not None), None)
    pixel = next((size for size in sizes if size.yx_nm is not None), None)
    if depth is None or pixel is None or depth is pixel:
        found = depth or pixel
        return found or VoxelSize(None, None, "")
    return VoxelSize(depth.z_nm, pixel.yx_nm, f"z: {depth.origin}; y, x: {pixel.origin}")


def spacing_of(size: VoxelSize) -> SpacingNm | None:
    """Return (dz, dy, dx) in nm, or None if an axis is missing."""
    if size.z_nm is None or size.yx_nm is None:
        return None
    y, x = size.yx_nm
    return float(size.z_nm), float(y), float(x)


def describe_missing_axes(size: VoxelSize) -> str:
    """Write which axis of an incomplete voxel size is missing, and what to do."""
    if size.yx_nm is not None:
        y, x = size.yx_nm
        return f"z spacing is missing ({size.origin}: y, x = {y:g}, {x:g} nm); {REMEDY}"
    if size.z_nm is not None:
        return f"pixel size is missing ({size.origin}: z = {size.z_nm:g} nm); {REMEDY}"
    return f"no voxel size: not given, none in acquisition.json, none in the metadata of the files; {REMEDY}"


def differs(size: VoxelSize, other: VoxelSize, tolerance: float = 1e-3) -> bool:
    """Return whether two voxel sizes differ by more than a fraction of `tolerance`; an unknown axis differs from none."""
    pairs = [(size.z_nm, other.z_nm)]
    if size.yx_nm is not None and other.yx_nm is not None:
        pairs += zip(size.yx_nm, other.yx_nm, strict=True)
    return any(a is not None and b is not None and abs(a - b) > tolerance * abs(b) for a, b in pairs)
