"""One module a stage: each turns what the stage left on disk into a section of the report."""
