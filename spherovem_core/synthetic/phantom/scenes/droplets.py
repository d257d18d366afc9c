"""Scenes with round bodies that look like nanoparticles: lipid droplets and lysosomes."""

from __future__ import annotations

from pydantic import Field

from spherovem_core.synthetic.phantom.basics import Basics
from spherovem_core.synthetic.phantom.placement import BallKind
from spherovem_core.synthetic.phantom.scenes.scene import Bodies, Effect, Scene


class BodyParameters(Basics):
    """Parameters of lipid droplets and lysosomes."""

    droplet_volume_fraction: float = Field(
        default=0.0, ge=0, le=0.2, description="Fraction of the volume taken by lipid droplets."
    )
    droplet_diameter_um: tuple[float, float] = Field(
        default=(0.7, 1.2), description="Smallest and largest diameter in µm of a lipid droplet."
    )
    droplet_grey: float = Field(default=205.0, ge=0, le=255, description="Mean grey value of the droplets.")
    droplet_grey_sd: float = Field(
        default=5.0, ge=0, le=60, description="Standard deviation of that grey value between droplets."
    )
    lysosome_volume_fraction: float = Field(
        default=0.0, ge=0, le=0.2, description="Fraction of the volume taken by lysosomes."
    )
    lysosome_diameter_um: tuple[float, float] = Field(
        default=(0.3, 0.7), description="Smallest and largest diameter in µm of a lysosome."
    )
    lysosome_grey: float = Field(default=200.0, ge=0, le=255, description="Mean grey value of the lysosomes.")
    lysosome_grey_sd: float = Field(
        default=12.0, ge=0, le=60, description="Standard deviation of that grey value between lysosomes."
    )
    lysosome_texture_sd: float = Field(
        default=16.0, ge=0, le=60, description="Standard deviation of the grey values within a lysosome."
    )


SCENES = (
    Scene(
        "droplets",
        "Smooth lipid droplets, larger than nanoparticles and nearly as bright, lie in the cells.",
        {"droplet_volume_fraction": 0.008},
    ),
    Scene(
        "lysosomes",
        "Lysosomes of the size and brightness of nanoparticles, but of uneven grey, lie in the cells.",
        {"lysosome_volume_fraction": 0.003},
    ),
    Scene(
        "dark-lysosomes",
        "Lysosomes far darker than the tissue lie in the cells.",
        {"lysosome_volume_fraction": 0.003, "lysosome_grey": 30.0},
    ),
)

# Distance in µm that the bodies keep from membranes.
_CLEARANCE_UM = 0.05


class RoundBodies(Effect):
    """Lipid droplets and lysosomes."""

    def __init__(self, parameters: BodyParameters) -> None:
        self.parameters = parameters

    def bodies(self) -> tuple[Bodies, ...]:
        """Return the kinds that take up any volume."""
        p = self.parameters
        droplets = Bodies(
            "lipid droplet",
            BallKind(
                1, (p.seed, 0xD0), p.droplet_volume_fraction, sum(p.droplet_diameter_um) / 2,
                diameter_range_um=p.droplet_diameter_um, intensity=p.droplet_grey,
                intensity_sd=p.droplet_grey_sd, cluster_size=1.5, clearance_um=_CLEARANCE_UM,
            ),
        )  # fmt: skip
        lysosomes = Bodies(
            "lysosome",
            BallKind(
                2, (p.seed, 0xD1), p.lysosome_volume_fraction, sum(p.lysosome_diameter_um) / 2,
                diameter_range_um=p.lysosome_diameter_um, intensity=p.lysosome_grey,
                intensity_sd=p.lysosome_grey_sd, clearance_um=_CLEARANCE_UM,
            ),
            p.lysosome_texture_sd,
        )  # fmt: skip
        return tuple(one for one in (droplets, lysosomes) if one.kind.volume_fraction > 0)
