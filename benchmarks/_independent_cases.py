"""Cases that an honest nanoparticle method meets: one recipe of an independent image each, and what the result must reach."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from _independent_images import Recipe
from _independent_particles import Blobs, Place, Population
from _independent_textures import Resin

PLAIN = Recipe()
NONE: tuple[Population, ...] = ()
DROPLETS = Blobs()
LYSOSOMES = Blobs(12, (400.0, 800.0), 190.0, 15.0, 40.0)
WIDE = (200.0, 0.0)
# Clumps of 2 to 8 balls, 83 in all.
MIXED_CLUMPS = (2, 3, 4, 5, 6, 7, 8) * 2 + (8, 5)


@dataclass(frozen=True)
class Limits:
    """Limits of a result; NaN where nothing is asked.

    `excess` is the fraction of the volume that may be labelled although no particle is there.
    """

    precision: float = 0.95
    recall: float = 0.95
    false: int = 2
    size: float = 0.05
    count: float = float("nan")
    excess: float = 0.002
    dice: float = float("nan")


@dataclass(frozen=True)
class UnkindCase:
    """A named recipe with its limits; `group` is the trait that it shows."""

    name: str
    recipe: Recipe
    limits: Limits = Limits()
    group: str = ""


def cases() -> tuple[UnkindCase, ...]:
    """List all cases, by group."""
    groups = {
        "tissue": plain,
        "resin": resin,
        "other bodies, charging": bodies,
        "borders": borders,
        "dark particles": darkness,
        "two kinds": kinds,
        "clumps": clumps,
        "thick slices": sizes,
        "other voxels": spacings,
        "microscope": microscopes,
        "several traits": mixtures,
    }
    return tuple(replace(case, group=name) for name, group in groups.items() for case in group())


def plain() -> Iterator[UnkindCase]:
    """Tissue and particles alone, and tissue alone."""
    yield UnkindCase("plain", PLAIN)
    yield UnkindCase("plain sparse", replace(PLAIN, populations=(Population(12),)))
    yield UnkindCase("plain dense", replace(PLAIN, populations=(Population(200),)))
    yield UnkindCase("plain 16-bit", replace(PLAIN, wide=WIDE))
    for noise in (6, 15, 25):
        yield UnkindCase(f"none noise {noise}", replace(PLAIN, populations=NONE, noise=float(noise)))
    yield UnkindCase("none 16-bit", replace(PLAIN, populations=NONE, wide=WIDE))


def resin() -> Iterator[UnkindCase]:
    """Resin brighter than tissue, over some of the field, with and without particles in the tissue."""
    looks = (
        (150, 0.16, True, True),
        (160, 0.4, False, True),
        (170, 0.1, False, False),
        (170, 0.16, True, True),
        (170, 0.16, False, False),
        (185, 0.4, False, True),
        (185, 0.1, True, False),
        (185, 0.4, True, True),
        (200, 0.16, True, True),
        (200, 0.4, False, False),
        (210, 0.1, True, True),
        (210, 0.4, False, True),
        (70, 0.16, True, True),
    )
    for grey, fraction, curved, textured in looks:
        scene = replace(PLAIN, resin=Resin(float(grey), fraction, curved, textured))
        name = (
            f"resin {grey} {100 * fraction:.0f} %{' curved' if curved else ''}{'' if textured else ' flat'}"
        )
        yield UnkindCase(name, scene)
        yield UnkindCase(f"{name} none", replace(scene, populations=NONE))


def bodies() -> Iterator[UnkindCase]:
    """Droplets, lysosomes, heterochromatin and charging streaks, with and without particles."""
    scenes = {
        "droplets": replace(PLAIN, blobs=(DROPLETS,)),
        "droplets 160": replace(PLAIN, blobs=(replace(DROPLETS, grey=160.0),)),
        "droplets 235": replace(PLAIN, blobs=(replace(DROPLETS, grey=235.0),)),
        "lysosomes": replace(PLAIN, blobs=(LYSOSOMES,)),
        "streaks": replace(PLAIN, streaks=40),
        "heterochromatin 190": replace(PLAIN, heterochromatin_grey=190.0),
        "heterochromatin 215": replace(PLAIN, heterochromatin_grey=215.0),
        "everything": replace(
            PLAIN,
            resin=Resin(185.0, 0.16, True),
            blobs=(replace(DROPLETS, count=6), replace(LYSOSOMES, count=6)),
            streaks=20,
        ),
    }
    for name, scene in scenes.items():
        yield UnkindCase(name, scene)
        yield UnkindCase(f"{name} none", replace(scene, populations=NONE))


def borders() -> Iterator[UnkindCase]:
    """Particles at the border of the resin, inside it, and at the border of the volume."""
    places: tuple[tuple[str, Place, int], ...] = (
        ("at the resin's border", "resin border", 25),
        ("inside resin", "resin", 25),
        ("at the volume's border", "volume border", 40),
    )
    for name, place, count in places:
        scene = replace(PLAIN, populations=(Population(40), Population(count, place=place)))
        if place != "volume border":
            scene = replace(scene, resin=Resin(170.0, 0.4))
        yield UnkindCase(name, scene)


def darkness() -> Iterator[UnkindCase]:
    """Dark particles."""
    for wide in (False, True):
        bits = "16-bit" if wide else "8-bit"
        scene = replace(PLAIN, dark=True, wide=WIDE if wide else None)
        yield UnkindCase(f"dark {bits}", scene)
        yield UnkindCase(
            f"dark {bits} five very dark", replace(scene, populations=(Population(5, grey=250.0),))
        )
        # Values of 0 and below are clipped, as those of a detector are.
        yield UnkindCase(f"dark {bits} five black", replace(scene, populations=(Population(5, grey=290.0),)))
        yield UnkindCase(f"dark {bits} none", replace(scene, populations=NONE))
        resin_grey = Resin(185.0, 0.16, True)
        yield UnkindCase(f"dark {bits} resin", replace(scene, resin=resin_grey))
        yield UnkindCase(f"dark {bits} droplets", replace(scene, blobs=(DROPLETS,)))
        yield UnkindCase(f"dark {bits} streaks", replace(scene, streaks=40))


def kinds() -> Iterator[UnkindCase]:
    """Two kinds of particle; the recall of each must reach 0.9."""
    limits = Limits(recall=0.9)
    mixes = {
        "kinds 235 180": (Population(40, grey=235.0), Population(40, grey=180.0)),
        "kinds 235 180 3:1": (Population(60, grey=235.0), Population(20, grey=180.0)),
        "kinds 235 180 1:3": (Population(20, grey=235.0), Population(60, grey=180.0)),
        "kinds 245 200": (Population(40, grey=245.0), Population(40, grey=200.0)),
        "kinds 320 200 nm": (Population(40), Population(40, 200.0)),
        "kinds 235 320 nm, 190 200 nm": (Population(40, grey=235.0), Population(40, 200.0, 190.0)),
    }
    for name, populations in mixes.items():
        yield UnkindCase(name, replace(PLAIN, populations=populations), limits)
    yield UnkindCase(
        "kinds 235 180 dark", replace(PLAIN, dark=True, populations=mixes["kinds 235 180"]), limits
    )


def clumps() -> Iterator[UnkindCase]:
    """Touching balls: the count must be right within 5 %."""
    limits = Limits(count=0.05)
    for name, sizes_of_clumps, single in (
        ("clumps of 2 to 8", MIXED_CLUMPS, 0),
        ("clumps of 6", (6,) * 14, 0),
        ("pairs", (2,) * 30, 0),
        ("clumps of 2 to 8 and 40 single", MIXED_CLUMPS, 40),
    ):
        for diameter in (320.0, 240.0):
            populations = (Population(0, diameter, clumps=sizes_of_clumps + (1,) * single),)
            yield UnkindCase(f"{name}, {diameter:.0f} nm", replace(PLAIN, populations=populations), limits)
    # Where sizes differ by a factor of two, no size tells two small balls from a large one; but all of it is particle.
    mixed = Limits(count=float("nan"), recall=float("nan"), size=float("nan"), dice=0.85)
    for name, sizes_of_clumps in (("single", (1,) * 60), ("clumps of 2 to 8", MIXED_CLUMPS)):
        populations = (Population(0, 310.0, clumps=sizes_of_clumps, spread=0.33),)
        yield UnkindCase(f"{name}, 210 to 410 nm", replace(PLAIN, populations=populations), mixed)


def sizes() -> Iterator[UnkindCase]:
    """Small particles in thick slices: 8, 6, 4 and 3 pixels across, in 2.7 slices to 1."""
    for diameter in (320, 240, 160, 120):
        for noise in (6, 15, 25):
            scene = replace(
                PLAIN, populations=(Population(60, float(diameter)),), noise=float(noise), blur_px=0.0
            )
            wanted = noise < 25
            size = 0.05 if diameter >= 160 else 0.1
            limits = Limits(
                precision=0.95 if wanted and diameter >= 160 else float("nan"),
                recall=_asked_recall(diameter, noise),
                size=size if wanted else float("nan"),
            )
            yield UnkindCase(f"size {diameter} nm noise {noise}", scene, limits)
    blurred = replace(PLAIN, populations=(Population(60, 240.0),), blur_px=1.2)
    yield UnkindCase("size 240 nm blur 1.2 px", blurred)


def _asked_recall(diameter: int, noise: int) -> float:
    if noise == 25 or diameter < 160:
        return float("nan")
    return 0.95 if diameter > 160 else (0.9 if noise == 6 else float("nan"))


def spacings() -> Iterator[UnkindCase]:
    """Other voxels."""
    for name, spacing, shape, diameter in (
        ("spacing 50 10 10 nm", (50.0, 10.0, 10.0), (24, 256, 256), 100.0),
        ("spacing 20 20 20 nm", (20.0, 20.0, 20.0), (32, 256, 256), 160.0),
        ("spacing 80 80 80 nm", (80.0, 80.0, 80.0), (32, 256, 256), 500.0),
    ):
        scene = replace(PLAIN, spacing_nm=spacing, shape=shape, populations=(Population(60, diameter),))
        yield UnkindCase(name, scene)
        yield UnkindCase(
            f"{name} resin",
            replace(scene, resin=Resin(185.0, 0.16, True), populations=(Population(40, diameter),)),
        )


def microscopes() -> Iterator[UnkindCase]:
    """Other noise, drift of the contrast, shading, clipping."""
    scenes = {
        "drift of the gain 8 %": replace(PLAIN, gain_drift=0.08),
        "shading 20 %": replace(PLAIN, shading=0.2),
        "clipped contrast": replace(PLAIN, contrast=1.6, noise=9.0),
        "Poisson noise 12": replace(PLAIN, noise=12.0, noise_kind="poisson"),
        "correlated noise 8": replace(PLAIN, noise=8.0, noise_kind="correlated"),
    }
    for name, scene in scenes.items():
        yield UnkindCase(name, scene)
        yield UnkindCase(f"{name} none", replace(scene, populations=NONE))


def mixtures() -> Iterator[UnkindCase]:
    """Several traits together."""
    two = (Population(40, grey=235.0), Population(40, grey=180.0))
    bright = Resin(185.0, 0.25, True)
    yield UnkindCase(
        "kinds 235 180, resin", replace(PLAIN, populations=two, resin=bright), Limits(recall=0.9)
    )
    yield UnkindCase(
        "kinds 235 180, droplets, streaks",
        replace(PLAIN, populations=two, blobs=(replace(DROPLETS, count=6),), streaks=20),
        Limits(recall=0.9),
    )
    clumped = (Population(0, 280.0, clumps=(6,) * 8),)
    scene = replace(PLAIN, populations=clumped, resin=bright, blobs=(replace(DROPLETS, count=6),))
    yield UnkindCase("clumps of 6, resin, droplets", scene, Limits(count=0.05))
    yield UnkindCase(
        "clumps of 6 dark, streaks",
        replace(PLAIN, populations=clumped, dark=True, streaks=20),
        Limits(count=0.05),
    )
    yield UnkindCase(
        "size 200 nm, resin, droplets",
        replace(
            PLAIN, populations=(Population(60, 200.0),), resin=bright, blobs=(replace(DROPLETS, count=6),)
        ),
    )
    yield UnkindCase("drift, shading, resin", replace(PLAIN, gain_drift=0.06, shading=0.15, resin=bright))
    yield UnkindCase(
        "drift, shading, resin none",
        replace(PLAIN, populations=NONE, gain_drift=0.06, shading=0.15, resin=bright),
    )
