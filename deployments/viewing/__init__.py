"""Viewers of a volume: Neuroglancer in a browser, and napari."""
