"""Run ``manage.py``, and write the names of all the modules that are imported then."""

import runpy
import sys

runpy.run_path("manage.py", run_name="__main__")
sys.stdout.write(" ".join(["", *sys.modules]))
