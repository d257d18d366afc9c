"""Images on which the whole pipeline is judged: all scenes of the phantom, and images of the independent generator."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from _independent_cases import MIXED_CLUMPS, PLAIN, Limits, UnkindCase, cases
from _independent_images import Recipe
from _independent_particles import Population
from _scene_images import SceneCase, independent_image, phantom_image

PIPELINE_CASES = (
    "resin 170 16 % curved",
    "resin 185 40 %",
    "droplets",
    "streaks",
    "streaks none",
    "heterochromatin 215",
    "everything",
    "dark 8-bit droplets",
    "dark 16-bit five very dark",
    "kinds 235 180",
    "clumps of 2 to 8, 320 nm",
    "size 320 nm noise 15",
    "size 240 nm noise 6",
    "size 160 nm noise 6",
)
"""Cases of the independent generator that go through the whole pipeline: the worst of each group, as the method found them."""

_LIMITS = {
    "two-kinds": Limits(recall=0.9),
    "clumps": Limits(count=0.05),
}
COMBINED = (
    ("resin", "no-particles"),
    ("droplets", "no-particles"),
    ("streaks", "no-particles"),
    ("thickness", "two-kinds"),
    ("thickness", "resin", "droplets"),
)
"""Scenes together."""


def phantom_cases(**overrides: Any) -> Iterator[SceneCase]:
    """List each scene of the phantom alone, and some together."""
    from spherovem_core.synthetic.phantom import SCENES

    singles = [(name,) for name in SCENES]
    combined = [names for names in COMBINED if all(name in SCENES for name in names)]
    # As on the phantom before it had scenes: 0.92 after denoising and registration.
    yield SceneCase("phantom", partial(phantom_image, (), **overrides), Limits(dice=0.88))
    for names in (*singles, *combined):
        limits = next((_LIMITS[name] for name in names if name in _LIMITS), Limits())
        yield SceneCase(" + ".join(names), partial(phantom_image, names, **overrides), limits)


def independent_cases() -> Iterator[SceneCase]:
    """List the cases of the independent generator that go through the whole pipeline."""
    by_name = {case.name: case for case in cases()}
    for name in PIPELINE_CASES:
        case = by_name[name]
        yield SceneCase(f"{name} (independent)", partial(independent_image, case), case.limits)


def denoising_cases() -> Iterator[tuple[SceneCase, float]]:
    """List images of the independent generator whose noise is known, each with the units of a grey value."""
    sizes = tuple(Population(20, float(size)) for size in (120, 160, 240))
    mixed = replace(PLAIN, populations=sizes, blur_px=0.6)
    rare = (Population(40), Population(3, 240.0, grey=1500.0))
    recipes: dict[str, Recipe] = {
        "independent noise of 6": mixed,
        "independent noise of 15": replace(mixed, noise=15.0),
        "independent noise of 25": replace(mixed, noise=25.0),
        "Poisson noise, 12 at the tissue's grey": replace(mixed, noise=12.0, noise_kind="poisson"),
        "noise of 12, correlated along x": replace(mixed, noise=12.0, noise_kind="correlated"),
        "noise of 12, correlated along x, with charging": replace(
            mixed, noise=12.0, noise_kind="correlated", streaks=20
        ),
        "16 bits, three particles far brighter than all else": replace(
            PLAIN, populations=rare, noise=12.0, wide=(40.0, 0.0)
        ),
        "clumps, noise of 10": replace(
            PLAIN, populations=(Population(0, 240.0, clumps=MIXED_CLUMPS),), noise=10.0
        ),
    }
    for name, recipe in recipes.items():
        unit = recipe.wide[0] if recipe.wide else 1.0
        yield SceneCase(name, partial(independent_image, UnkindCase(name, recipe))), unit
