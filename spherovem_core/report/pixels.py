"""Arrays as small images within the page: WebP data URIs."""

import base64
import io
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

QUALITY = 80


def grey(values: NDArray[Any], limits: tuple[float, float]) -> str:
    """Show intensities in grey, the limits as black and white; compressed with a loss that is not seen."""
    return _encode(Image.fromarray(_to_byte(values, limits)), quality=QUALITY, method=4)


def coloured(values: NDArray[Any], limits: tuple[float, float], colours: str) -> str:
    """Show values in one of matplotlib's colour maps; NaN is transparent."""
    picture = matplotlib.colormaps[colours](_to_byte(values, limits), bytes=True)
    picture[..., 3] = np.where(np.isnan(values), 0, 255)
    return _encode(Image.fromarray(picture), lossless=True, method=2)


def outlined(layers: list[tuple[NDArray[Any], str]]) -> str:
    """Draw the borders of labels two pixels wide, one colour a layer, on transparent ground.

    Parameters
    ----------
    layers
        Labels (Y, X), all of one shape, and a colour such as ``#edae49``; later ones lie above.
    """
    overlay = np.zeros((*layers[0][0].shape, 4), np.uint8)
    for labels, colour in layers:
        overlay[outlines(labels)] = (*(int(colour[i : i + 2], 16) for i in (1, 3, 5)), 255)
    return from_rgba(overlay)


def from_rgba(picture: NDArray[np.uint8]) -> str:
    """Show (Y, X, 4) colours with opacity as they are."""
    return _encode(Image.fromarray(picture), lossless=True, method=2)


def outlines(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels on either side of a border between labels, or between a label and the ground."""
    edge = np.zeros(labels.shape, dtype=bool)
    down, across = labels[:-1] != labels[1:], labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= down
    edge[1:] |= down
    edge[:, :-1] |= across
    edge[:, 1:] |= across
    return edge


def _to_byte(values: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = limits
    scaled = (np.nan_to_num(values.astype(np.float32)) - low) * (255 / ((high - low) or 1.0))
    return np.asarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _encode(image: Image.Image, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **options)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
