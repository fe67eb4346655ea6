"""Configuration of Sphinx."""

from importlib import metadata

project = "Syzygy"
author = "Syzygy contributors"
project_copyright = author
release = metadata.version("django-syzygy")
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc", "sphinx.ext.doctest"]
exclude_patterns = ["demo"]
html_theme = "furo"
html_title = f"{project} {version}"

autodoc_member_order = "bysource"
autodoc_typehints = "description"

# Classes of others, which these pages do not describe.
nitpick_ignore_regex = [
    ("py:.*", r"(argparse|collections|django|enum|pathlib|types|typing)\..*"),
]

doctest_global_setup = """
import django
from django.conf import settings

if not settings.configured:
    settings.configure(INSTALLED_APPS=["syzygy"])
    django.setup()
"""
