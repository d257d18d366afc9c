"""Tissue unlike the training: how well the inner layer of the compact networks tells phantoms from real images.

Phantoms of seeds that no training saw are compared with regions of the real FIB-SEM and ssTEM stacks in ``../shared/data`` at
several flow spacings. Prints the distance of each from the training, and the area under the receiver operating characteristic.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from _fibsem import DATA, read_stack
from _interval_rows import CASES
from _review_bases import IN_PLACE
from confidence import auroc

from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import PlacedVolume
from spherovem_core.segmentation.familiarity import measure_familiarity
from spherovem_core.synthetic.phantom import make_phantom

FIRST_SEED = 2000
SPACINGS = {"fibsem": (6.0, 8.0, 12.0), "sstem": (8.0, 12.0, 18.0, 25.0)}
"""Flow spacings in nm of the real stacks: the compact networks see cells of about 40 pixels."""


def real_images() -> list[tuple[str, PlacedVolume, float]]:
    """Return regions of both stacks, each at the flow spacings."""
    fibsem = read_stack()[0]
    paths = sorted((DATA.parent / "sstem_vnc").glob("*.tif"))
    sstem = np.stack([tifffile.imread(path) for path in paths])
    found = []
    for spacing in SPACINGS["fibsem"]:
        for z in (0, 125):
            found.append(("fibsem", PlacedVolume(fibsem[z : z + 125], (10.0, 10.0, 10.0)), spacing))
    for spacing in SPACINGS["sstem"]:
        for y, x in ((0, 0), (0, 512), (512, 0), (512, 512)):
            region = sstem[:, y : y + 512, x : x + 512]
            found.append(("sstem", PlacedVolume(region, (50.0, 4.6, 4.6)), spacing))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=12)
    parser.add_argument(
        "--images", type=Path, help="folder of phantoms as npz with image and spacing, instead of making them"
    )
    parser.add_argument(
        "--kinds", nargs="+", default=("cells",), help="both kinds of a network have one inner layer"
    )
    options = parser.parse_args()
    images: list[tuple[str, PlacedVolume, float]] = []
    rng = np.random.default_rng(0)
    if options.images:
        for path in sorted(options.images.glob("*.npz"))[: options.phantoms]:
            with np.load(path) as stored:
                images.append(
                    (
                        "phantom",
                        PlacedVolume(stored["image"], tuple(stored["spacing"].tolist())),
                        float(rng.uniform(90, 145)),
                    )
                )
    else:
        for n in range(options.phantoms):
            settings: dict[str, Any] = {
                "cell_diameter_um": 4.8,
                **list(CASES.values())[n % len(CASES)],
                **IN_PLACE,
            }
            phantom = make_phantom(scenes=settings.pop("scenes", ()), seed=FIRST_SEED + n, **settings)
            images.append(
                ("phantom", PlacedVolume(phantom.image, phantom.spacing_nm), float(rng.uniform(90, 145)))
            )
    images += real_images()
    for name in ("phantom-compact", "em-compact"):
        for kind in options.kinds:
            rows = []
            for what, image, spacing in images:
                parameters = ObjectParameters(network=name, flow_spacing_nm=spacing)
                found = measure_familiarity(kind, image, parameters.flows)
                if found is not None and np.isfinite(found.distance):
                    rows.append((what, spacing, found))
            if not rows:
                print(f"{name} {kind}: no training statistics")
                continue
            distance = np.array([found.distance for _, _, found in rows])
            real = np.array([what != "phantom" for what, _, _ in rows])
            unlike = np.array([found.unlike for _, _, found in rows])
            print(
                f"{name} {kind}: {len(rows)} images, AUROC {auroc(distance, real):.3f}; limit {rows[0][2].limit:.2f}; unlike: "
                f"{unlike[~real].sum()} of {(~real).sum()} phantoms, {unlike[real].sum()} of {real.sum()} real"
            )
            for what in ("phantom", "fibsem", "sstem"):
                own = [found for each, _, found in rows if each == what]
                if own:
                    values = [found.distance for found in own]
                    suggested = sorted({round(found.suggested_nm, 1) for found in own if found.suggested_nm})
                    print(
                        f"  {what}: {min(values):.2f} to {max(values):.2f}, suggested {suggested}", flush=True
                    )


if __name__ == "__main__":
    main()
