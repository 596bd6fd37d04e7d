"""How Sphinx makes a site of these pages: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

import ensoras_middleware

sys.path.insert(0, str(Path(__file__).parent))  # for `generated`

project = "ensoras-middleware"
release = version = ensoras_middleware.__version__
html_title = f"{project} {version}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "generated"]
exclude_patterns = ["**/__pycache__"]

# Anchors as code hosts make them, so that links work there too.
myst_heading_anchors = 3

# Docstrings write code in single backticks, as Markdown does.
default_role = "code"
smartquotes = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"ASGIApp": "ASGIApp"}
python_use_unqualified_type_names = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_copyright = False
