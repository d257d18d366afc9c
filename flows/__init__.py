"""Prefect flows: each runs from beginning to end."""

import logging

# Prefect shows in a run's log what these loggers let through: left without a level, that would be warnings alone.
for _name in ("spherovem_core", "tasks", "flows", "deployments"):
    if logging.getLogger(_name).level == logging.NOTSET:
        logging.getLogger(_name).setLevel(logging.INFO)
