"""Looking at a volume: which layers it has, Neuroglancer's state and link, a file server on loopback, napari."""
