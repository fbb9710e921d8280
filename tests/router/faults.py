# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with a router, on demand. Everything here can change while the router runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

GREETINGS = {
    "lockout": "Maximum number of incorrect account entries exceeded.\n",
    "lockout_seconds": "Authorization failed after trying 3 times!!!.\nPlease login after 287 seconds!",
    "busy": "System administrator is connecting from 192.168.1.250\nReject the connection request !!!",
    "captcha": (
        "====================================================\n"
        "   * * * *      *     *      * * * *      * * * *   \n"
        "         *      *     *      *            *     *   \n"
        "         *      * * * *      * * * *      *     *   \n"
        "         *            *      *     *      *     *   \n"
        "         *            *      *     *      *     *   \n"
        "         *            *      * * * *      * * * *   \n"
        "====================================================\n"
        "Please input the verification code:\n"
    ),
    "wan_disabled": "Telnet is Disabled in WAN Side\n",
    "close": "",
}
NOISE = "000000812 [Info..] [WST ] (ws_scan_busy        :2177) Checking for busy channels (3 remaining attempts)"


@dataclass(frozen=True)
class Faults:
    """No faults by default. Commands are counted from 1 in each session, after the login."""

    # At connect
    greeting: str = ""
    """A key of GREETINGS, or any other text: printed in place of the login, then the connection is closed (captcha waits)."""
    banner: str | None = None
    prompt: str | None = None
    wrong_password_text: str = "Login incorrect. Try again."
    lockout_text: str = GREETINGS["lockout"]

    # Silence and endings
    silent_at: str = ""
    """``connect``, ``login`` (after the right password) or ``output`` (in the middle of the answer to ``on_command``)."""
    cut_after_received: int | None = None
    """Drop the connection when this many bytes (telnet's own not counted) have come from the client."""
    cut_runs_partial: bool = False
    """Run the unfinished line as if Enter had been pressed, then drop."""
    cut_after_sent: int | None = None
    cut_at_command: int | None = None
    cut_when: str = "ran"
    """``before`` (not run), ``ran`` (run, no answer) or ``answered``."""
    truncate_output: bool = False
    """Send half of the answer to ``on_command``, ending inside a line, and drop."""

    # Output
    on_command: str = ""
    """Beginning of the commands that truncate_output, garbage_line and silent_at=output apply to; empty: all."""
    garbage_line: str = ""
    noise: str = ""
    """A line that interrupts every answer of ``on_command``, on a line of its own, or inside one with noise_inside."""
    noise_inside: bool = False
    one_byte: bool = False
    byte_delay: float = 0.0
    no_echo: bool = False
    command_delay: float = 0.0
    nagle: bool = False
    """Send the echo and the answer apart, with Nagle's algorithm on, as BusyBox's telnetd does."""

    # The state of the device
    no_command: str = ""
    """A command that the firmware does not have."""
    no_iptables: bool = False
    no_arp: bool = False
    no_default_route: bool = False
    lock_commands: int = 0
    lock_seconds: float = 0.0
    """From the moment it is set."""
    lock_text: str = "hint"
    """A key of LOCK_TEXTS, or any other text."""

    def changed(self, **changes: Any) -> Faults:
        known = {field.name for field in fields(self)}
        unknown = set(changes) - known
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        return replace(self, **changes)

    def set_ones(self) -> dict[str, Any]:
        """Only what differs from no faults."""
        return {key: value for key, value in asdict(self).items() if value != getattr(NO_FAULTS, key)}


NO_FAULTS = Faults()
