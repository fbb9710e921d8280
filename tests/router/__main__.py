# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python tests/router``: see main.py."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Run as a directory, Python puts the directory itself on the path; the package needs the one above.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from router.main import main

if __name__ == "__main__":
    sys.exit(main())
