# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run inside a namespace: reads a JSON list of argument lists, runs each, answers [[output, errors, status], ...]."""

from __future__ import annotations

import json
import subprocess
import sys


def main() -> None:
    program = sys.argv[1]
    answers = []
    for words in json.load(sys.stdin):
        # argv[0] is plain "iptables", because a complaint may quote it.
        done = subprocess.run(["iptables", *words], executable=program, capture_output=True, timeout=20, check=False)
        answers.append([done.stdout.decode(), done.stderr.decode(), done.returncode])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
