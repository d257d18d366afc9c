"""Training of the compact networks on phantoms: ``python -m spherovem_core.synthetic.compact_training``.

One network learns cells and nuclei together, which halves the time. It is then split into a file per kind, each with
the shared body and its own head.
"""
