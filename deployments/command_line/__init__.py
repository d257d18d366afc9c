"""Command line: one module per command, and what commands share."""
