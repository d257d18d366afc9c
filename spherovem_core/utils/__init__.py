"""Devices, digests, progress, memory and choice of slices, for every stage."""
