"""Prefect tasks: one module per stage, each step a cached, retryable task around a function of the core."""
