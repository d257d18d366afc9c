"""Synthetic data with known truth, and what needs them.

- `phantom`: acquisitions of spheroids with exact labels, volumes and distances.
- `slice_pairs`: pairs of textured slices with a known motion.
- `comparison`: measurements of a run on a phantom beside the phantom's truth.
- `misplacement`: registered stacks beside the true motion of their slices.
- `compact_training`: training of the compact networks that ship with the project.
"""
