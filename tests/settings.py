import os

from tests.services import SERVICES, UNDER_TEST

# Several test runs may share one server. The workers of one run may, too: there
# pytest-django appends the worker's name.
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:8]

DATABASES = {
    alias: SERVICES[UNDER_TEST].database(f"syzygy_{alias}_{RUN}")
    for alias in ("default", "other")
}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "syzygy",
]

SECRET_KEY = "not a secret"

USE_TZ = True
