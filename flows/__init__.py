"""Prefect flows: what runs from beginning to end."""

import logging

# Prefect shows in a run's log what this logger lets through: left without a level, that would be warnings alone.
if logging.getLogger("spherovem_core").level == logging.NOTSET:
    logging.getLogger("spherovem_core").setLevel(logging.INFO)
