"""Sphinx settings."""

project = "napari-wbc"
copyright = "2026, napari-wbc developers"  # noqa: A001 (Sphinx's name)
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
autodoc_typehints = "none"
suppress_warnings = ["myst.xref_missing"]
myst_heading_anchors = 3
