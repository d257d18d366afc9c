"""Stage 1, ingest: check the slices and write them as the raw image."""

from tasks.steps import step_task

ingest = step_task("ingest")
