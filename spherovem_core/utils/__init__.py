"""Devices, digests, progress and memory, for every stage."""
