"""The layers that napari-ome-zarr reads from a volume, printed as JSON; runs in an environment of its own."""

import contextlib
import io
import json
import sys

import numpy as np
from napari_ome_zarr import napari_get_reader


def describe(layer: tuple) -> dict:
    data, options, kind = layer
    affine = options["affine"].affine_matrix if "affine" in options else np.eye(4)
    scale = np.diag([*options["scale"], 1.0])
    return {
        "kind": kind,
        "name": options.get("name", ""),
        "shapes": [list(level.shape) for level in data],
        "dtype": str(data[0].dtype),
        "sum": int(np.asarray(data[0]).astype(np.int64).sum()),
        "units": list(options["units"]),
        "matrix": (affine @ scale).tolist(),
    }


def main() -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        read = napari_get_reader(sys.argv[1])
        layers = [describe(layer) for layer in read(sys.argv[1])]
    print(json.dumps(layers))


if __name__ == "__main__":
    main()
