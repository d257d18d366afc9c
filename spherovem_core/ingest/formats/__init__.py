"""Readers of single file formats besides TIFF."""
