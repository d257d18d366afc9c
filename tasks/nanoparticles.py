"""Stage 5, nanoparticles: find the specimen, fit the mixture of intensities and label the particles."""

from tasks.steps import step_task

find_specimen = step_task("specimen")
segment_nanoparticles = step_task("nanoparticles")
