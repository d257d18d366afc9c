"""A Prefect server: its set-up, automations and recovery."""
