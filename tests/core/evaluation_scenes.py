"""Label volumes for the tests of the evaluation."""

import numpy as np

SPACING = (50.0, 10.0, 10.0)


def line(*runs: tuple[int, int]) -> np.ndarray:
    """Make a volume of one line from pairs (label, length)."""
    return np.concatenate([np.full(length, label, np.uint32) for label, length in runs])[None, None]


def patchwork(seed: int, shape: tuple[int, ...] = (10, 60, 70), count: int = 40) -> np.ndarray:
    """Make Voronoi cells of random points under `SPACING`, a fifth of them background; labels have gaps."""
    generator = np.random.default_rng(seed)
    axes = [np.arange(n) * side for n, side in zip(shape, SPACING[-len(shape) :], strict=True)]
    points = generator.uniform(0, [axis[-1] for axis in axes], (count, len(shape)))
    grid = np.meshgrid(*axes, indexing="ij")
    distances = [sum((g - p) ** 2 for g, p in zip(grid, point, strict=True)) for point in points]
    labels = generator.permutation(3 * count)[:count] + 1
    labels[: count // 5] = 0
    return labels[np.argmin(distances, axis=0)].astype(np.uint32)


def disturbed(labels: np.ndarray, seed: int) -> np.ndarray:
    """Make labels of a mediocre network: jagged borders, three pairs of objects merged, four objects cut in two."""
    generator = np.random.default_rng(seed)
    offsets = [generator.integers(-2, 3, labels.shape) for _ in labels.shape]
    index = [
        np.clip(np.arange(n).reshape([-1 if a == b else 1 for b in range(labels.ndim)]) + offset, 0, n - 1)
        for a, (n, offset) in enumerate(zip(labels.shape, offsets, strict=True))
    ]
    found = labels[tuple(index)].astype(np.int64)
    names = np.unique(found[found > 0])
    for first, second in names[:6].reshape(3, 2).tolist():
        found[found == second] = first
    for name in names[6:10].tolist():
        half = found == name
        half[..., : int(np.median(np.nonzero(half)[-1]))] = False
        found[half] = 1000 + name
    return found


def solid(inside: np.ndarray, label: int = 1) -> np.ndarray:
    """Make a volume with one object."""
    return np.where(inside, label, 0).astype(np.uint32)
