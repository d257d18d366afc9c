"""Stage 5, nanoparticles: find the specimen, find and label the particles."""

from tasks.steps import step_task

find_specimen = step_task("specimen")
segment_nanoparticles = step_task("nanoparticles")
