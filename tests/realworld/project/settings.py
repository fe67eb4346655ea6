"""A site made with Wagtail, with everything installed that comes with it."""

from importlib.util import find_spec
from pathlib import Path

BASE_DIR = Path(__file__).parent


def wagtail_apps() -> list[str]:
    """Return the apps of the installed Wagtail, those of its tests left out."""
    spec = find_spec("wagtail")
    assert spec
    assert spec.origin
    folder = Path(spec.origin).parent
    packages = [
        ".".join(file.parent.relative_to(folder.parent).parts)
        for file in folder.rglob("apps.py")
        if "AppConfig" in file.read_text(encoding="utf-8")
    ]
    return sorted(
        name
        for name in packages
        if not name.startswith(("wagtail.test", "wagtail.project_template"))
    )


INSTALLED_APPS = [
    "home",
    "syzygy",
    *wagtail_apps(),
    # Apps without an AppConfig
    "wagtail.contrib.legacy.richtext",
    "wagtail.contrib.typed_table_block",
    # What Wagtail brings along
    "django_filters",
    "django_tasks",
    "laces",
    "modelcluster",
    "ninja",
    "rest_framework",
    "rest_framework.authtoken",
    "taggit",
    "treebeard",
    # All of Django's, save for the one that needs GDAL
    "django.contrib.admin",
    "django.contrib.admindocs",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.flatpages",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.redirects",
    "django.contrib.sessions",
    "django.contrib.sitemaps",
    "django.contrib.sites",
    "django.contrib.staticfiles",
    "django.contrib.syndication",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "wagtail.contrib.redirects.middleware.RedirectMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
    }
}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT = BASE_DIR / "media"
MEDIA_URL = "/media/"
ROOT_URLCONF = "urls"
SECRET_KEY = "not a secret"
SITE_ID = 1
STATIC_URL = "/static/"
USE_TZ = True
WAGTAILADMIN_BASE_URL = "http://localhost"
WAGTAIL_SITE_NAME = "Real world"
