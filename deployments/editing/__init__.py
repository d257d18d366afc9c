"""Correction of labels by hand in a viewer: a session without a user interface, and napari and Neuroglancer on it."""
