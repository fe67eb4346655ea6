"""Configuration of Sphinx."""

from importlib import metadata
from pathlib import Path

project = "Syzygy"
author = "Syzygy contributors"
project_copyright = author
release = metadata.version("django-syzygy")
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc", "sphinx.ext.doctest"]
exclude_patterns = ["_build", "demo"]
html_theme = "furo"
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["wrap.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"

# Classes of others, which these pages do not describe.
nitpick_ignore_regex = [
    ("py:.*", r"(argparse|collections|django|enum|pathlib|types|typing)\..*"),
]

# What a field is depends on its class, of which there is no end.
nitpick_ignore = [("py:class", "AnyField"), ("py:class", "syzygy.stages.Decision")]
# Django's, by the name that a module of this package has it by.
nitpick_ignore += [("py:class", "models.Q")]

# The app whose models the examples start from.
doctest_global_setup = f"""
import sys

import django
from django.conf import settings

if not settings.configured:
    sys.path.insert(0, {str(Path(__file__).parent / "examples")!r})
    settings.configure(INSTALLED_APPS=["syzygy", "shop"])
    django.setup()
"""
