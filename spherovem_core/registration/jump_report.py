"""Jumps of the stage in words, for the report."""

import numpy as np
import pandas as pd

from spherovem_core.registration.report_lists import listed

SIZES = ("jump_y_px", "jump_x_px", "jump_rotation_deg", "jump_scale", "jump_shear")


def jump_texts(slices: pd.DataFrame) -> list[str]:
    """Describe each jump in the slice table: its slice and its sizes. A slice without registration has none."""
    sizes = slices[list(SIZES)].fillna(0.0).to_numpy(dtype=float)
    found = zip(slices["z"].tolist(), sizes.tolist(), strict=True)
    return [f"{z} ({_size_text(*row)})" for z, row in found if any(row)]


def _size_text(y_px: float, x_px: float, turn_deg: float, scale: float, shear: float) -> str:
    texts = {
        f"{np.hypot(y_px, x_px):.1f} px": y_px or x_px,
        f"scale {100 * scale:+.2f} %": scale,
        f"turn {turn_deg:+.2f}°": turn_deg,
        f"shear {100 * shear:.2f} %": shear,
    }
    return ", ".join(text for text, size in texts.items() if size)


def scale_text(slices: pd.DataFrame) -> str:
    """Say which slices were acquired at which magnification, where they differ by more than 0.1 %; else empty."""
    factor = slices["relative_scale"].fillna(1.0).round(6)
    run = (factor != factor.shift()).cumsum()
    found = [
        (part["z"].iloc[0], part["z"].iloc[-1], factor[part.index[0]]) for _, part in slices.groupby(run)
    ]
    other = [f"{_span(a, b)} at {f:.4f}" for a, b, f in found if abs(f - 1.0) > 1e-3]
    nominal = [_span(a, b) for a, b, f in found if abs(f - 1.0) <= 1e-3]
    if not other:
        return ""
    return f"{listed(other)} times the magnification of slices {listed(nominal)}, to which the voxel size applies"


def _span(first: int, last: int) -> str:
    return f"{first} to {last}" if last > first else str(first)
