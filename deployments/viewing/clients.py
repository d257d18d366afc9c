"""Address of the public Neuroglancer page, in a module that imports nothing."""

PUBLIC_CLIENT = "https://neuroglancer-demo.appspot.com"
