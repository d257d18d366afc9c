"""Synthetic data with known truth, for comparison with results and for training.

- `phantom`: acquisitions of spheroids with exact labels, volumes and distances.
- `slice_pairs`: pairs of textured slices with a known motion.
- `comparison`: measurements of a run on a phantom, compared with its truth.
- `misplacement`: registered slices, compared with their true motion.
- `compact_training`: training of the compact networks that ship with the project.
"""
