# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment that a link leads to belongs to another checkout: it is used, and never rebuilt."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DIRECTORY = ".cache/venvs/some"


def checkout(folder: Path, requirements: str) -> Path:
    (folder / "tests/tools").mkdir(parents=True)
    (folder / "meta").mkdir()
    for name in ("tests/tools/venv", "tests/tools/python", "meta/ee-requirements.txt"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "requirements.txt").write_text(requirements, encoding="ascii")
    return folder


def bring(folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["tests/tools/venv", DIRECTORY, "requirements.txt", str(sys.version_info.minor)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    folder = checkout(tmp_path / "first", "")
    assert bring(folder).returncode == 0
    (folder / DIRECTORY / "mark").touch()  # gone when it is made anew
    return folder


def linked(first: Path, requirements: str) -> Path:
    second = checkout(first.parent / "second", requirements)
    (second / ".cache").mkdir()
    (second / ".cache/venvs").symlink_to(first / ".cache/venvs")
    return second


def test_it_is_made_once(first: Path) -> None:
    assert bring(first).returncode == 0
    assert (first / DIRECTORY / "mark").exists()
    (first / "requirements.txt").write_text("# another\n", encoding="ascii")
    assert bring(first).returncode == 0
    assert not (first / DIRECTORY / "mark").exists()


def test_a_linked_one_that_fits_is_used(first: Path) -> None:
    done = bring(linked(first, ""))
    assert (done.returncode, done.stderr) == (0, "")
    assert (first / DIRECTORY / "mark").exists()


def test_a_linked_one_that_does_not_fit_is_left_alone(first: Path) -> None:
    done = bring(linked(first, "# another\n"))
    assert done.returncode == 1
    assert f"{DIRECTORY} is a link to {(first / DIRECTORY).resolve()}, which was made for other requirements" in done.stderr
    assert (first / DIRECTORY / "mark").exists()
