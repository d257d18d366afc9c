"""Scenes that only choose parameters of particles, detector and cells, which have code of their own."""

from __future__ import annotations

from spherovem_core.synthetic.phantom.scenes.scene import Scene

PARTICLE_SCENES = (
    Scene(
        "two-kinds",
        "Nanoparticles of two kinds differ in grey value and size.",
        {"second_volume_fraction": 0.001, "second_intensity": 180.0, "second_diameter_nm": 240.0},
    ),
    Scene(
        "sizes",
        "Single nanoparticles have diameters from 1 to 10 pixels.",
        {"nanoparticle_diameter_range_px": (1.0, 10.0), "nanoparticle_cluster_size": 1.0},
    ),
    Scene(
        "clumps",
        "Nanoparticles lie in clumps and touch their neighbours.",
        {"nanoparticle_cluster_size": 6.0, "nanoparticle_gap": 0.0},
    ),
    Scene(
        "vesicles",
        "Nanoparticles lie apart from each other in wide, light vesicles.",
        {"vesicle_room_nm": 200.0, "nanoparticle_cluster_size": 3.0, "nanoparticle_gap": 0.5},
    ),
    Scene(
        "at-membranes",
        "Half of the nanoparticles lie on the membranes of cells.",
        {"nanoparticle_membrane_fraction": 0.5},
    ),
    Scene(
        "outside-cells",
        "A third of the nanoparticles lie in clefts between cells, and a third in resin and lumina if there are any.",
        {"nanoparticle_extracellular_fraction": 0.34, "nanoparticle_resin_fraction": 0.33},
    ),
    Scene("no-particles", "There are no nanoparticles.", {"nanoparticle_volume_fraction": 0.0}),
)

DETECTOR_SCENES = (
    Scene(
        "thickness",
        "The signal of a slice is the mean over its thickness, so that small particles are faint and edges blurred.",
        {"section_thickness": 1.0},
    ),
    Scene(
        "escape-depth",
        "The signal comes from below the surface of the block and falls exponentially with depth.",
        {"escape_depth_nm": 60.0},
    ),
    Scene(
        "uneven-slices",
        "The distance between slices varies.",
        {"slice_distance_cv": 0.25},
    ),
    Scene(
        "poisson",
        "The noise is that of counted electrons.",
        {"poisson_counts": 100.0, "read_noise": 0.0, "shot_noise": 0.0},
    ),
    Scene(
        "correlated",
        "The noise is correlated along the scan lines.",
        {"noise_correlation_px": (0.0, 0.8), "read_noise": 12.0, "shot_noise": 0.0},
    ),
    Scene(
        "clipped",
        "The detector's contrast is too high: the darkest and brightest pixels are clipped.",
        {"contrast": 2.0, "read_noise": 7.0, "shot_noise": 9.0},
    ),
    Scene("dark", "The polarity is inverted: particles are dark and membranes bright.", {"inverted": True}),
    Scene(
        "sixteen-bit",
        "Images have 16 bits, and a few particles are far brighter than all else.",
        {"bits": 16, "rare_fraction": 0.03},
    ),
)

CELL_SCENES = (
    Scene(
        "dividing-cells",
        "Some cells divide: chromosomes in one or two plates, no envelope.",
        {"dividing_fraction": 0.25},
    ),
    Scene(
        "dead-cells",
        "Some cells are dead: dark, shrunken, with a small condensed nucleus.",
        {"dead_fraction": 0.25},
    ),
    Scene(
        "many-nuclei",
        "Some cells have three to six nuclei.",
        {"multinucleate_fraction": 0.3},
    ),
    Scene("no-nuclei", "Half of the cells have no nucleus.", {"anucleate_fraction": 0.5}),
)
