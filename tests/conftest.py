"""For every test: a slow machine is not a failure, and in CI the same examples are tried each time."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("homenet", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("homenet")
