"""Configuration of Sphinx: Markdown pages, tables generated from the code, and no network."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "spherovem"
author = "the spherovem authors"
project_copyright = "2026, the spherovem authors"
version = release = version_of("spherovem")
language = "en"

extensions = ["myst_parser", "reference_tables"]
exclude_patterns = ["extensions", "validation/*"]
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "spherovem"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_extra_path = ["../spherovem_core/ingest/templates"]
