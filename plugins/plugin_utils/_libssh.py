# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-pylibssh, where it is installed. Private to this collection. Importing it takes some milliseconds."""

from __future__ import annotations

import logging

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError

__all__ = ["QUIET", "LibsshException", "LibsshSessionException", "Session", "require"]

_missing = ""
try:
    from pylibsshext.errors import LibsshException, LibsshSessionException
    from pylibsshext.logging import ANSIBLE_PYLIBSSH_NOLOG as QUIET
    from pylibsshext.session import Session
except ImportError as _error:
    _missing = str(_error)
    Session, QUIET = object, 0
    LibsshException = LibsshSessionException = Exception
else:
    # What libssh logs before it is told to be quiet would end up on the terminal.
    logging.getLogger("ansible-pylibssh").addHandler(logging.NullHandler())


def require() -> None:
    """Raises TrafficError where it is missing, or cannot be loaded."""
    if _missing:
        raise TrafficError(
            f"The Python package ansible-pylibssh is missing on the control node ({_missing}): pip install ansible-pylibssh"
        )
