"""Phantom acquisitions with exact truth, and how results compare with it."""
