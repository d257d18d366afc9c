"""Prefect flows: what runs from beginning to end."""
