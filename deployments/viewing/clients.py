"""Where Neuroglancer's page comes from; apart from the rest, which takes long to import."""

PUBLIC_CLIENT = "https://neuroglancer-demo.appspot.com"
