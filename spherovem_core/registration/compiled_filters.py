"""Choice between compiled filters of slices and torch's operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def compiled_for(image: Tensor) -> bool:
    """Tell whether compiled loops filter a batch of slices; on a CPU they take a sixth of the time of torch's operations."""
    return str(image.device) == "cpu" and bool(image.element_size() == 4)
