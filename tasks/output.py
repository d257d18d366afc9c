"""Stage 8, output: review the objects, write tables, report and provenance."""

from tasks.steps import step_task

review_cells = step_task("review_cells")
review_nuclei = step_task("review_nuclei")
review_nanoparticles = step_task("review_nanoparticles")
write_output = step_task("output")
