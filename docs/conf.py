"""Sphinx configuration of the documentation site: `make docs` builds it into build/docs."""

from rtu_edge._base.version import __version__

project = "rtu_edge"
author = "The rtu_edge team"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# Docstrings are text for help(), not reStructuredText; links and anchors are checked by MyST.
suppress_warnings = ["docutils", "ref.python"]

html_theme = "furo"
html_title = f"rtu_edge {release}"
html_show_sphinx = False
html_show_copyright = False
highlight_language = "none"

myst_heading_anchors = 4

autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_typehints = "none"
default_role = "literal"
