"""How Sphinx makes pages of what build.py has laid together."""

project = "lcmis"
author = "the lcmis authors"
project_copyright = "the lcmis authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "lcmis"
html_show_sphinx = False
html_copy_source = False
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_display_short_literal_types = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_custom_sections = [("Source", "notes_style")]
suppress_warnings = ["ref.python", "ref.ref"]
"""Names that two modules have, and labels of SQLAlchemy's own handbook."""
