"""Run the tests of this checkout: python tests/run.py [PART...]

Without an argument every part runs; `static` stands for the parts that only read the code. Each part is one line with
its time, a failing one is followed by what it said, and the last line counts them. What this machine has no means for
is left out with its reason; with CI=true that is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".cache" / "test"
CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
WORKERS = 2

# Python 3 versions for the newest and the oldest ansible-core that is supported, the best first.
NEWEST, NEWEST_CORE = ("13", "12", "14"), "2.21"
OLDEST, OLDEST_CORE = ("10", "11", "12"), "2.16"
TOOLS = (*NEWEST, "11", "10")

SYSTEM_PATH = ":/usr/sbin:/sbin"  # often not on the PATH of a user who is not root
PASSED, FAILED, LEFT_OUT = "passed", "FAILED", "left out"


class LeftOut(Exception):
    """This machine has no means for a part; the message says what is missing."""


@dataclass
class Part:
    """One thing to run. ``command`` may be a function that decides it (or raises LeftOut)."""

    name: str
    command: Sequence[str] | Callable[[], Sequence[str]]
    venv: str | None = None
    needs: tuple[str, ...] = ()
    static: bool = False
    minutes: float = 10
    shows: str = ""  # of a failing part's output, only the lines that match this; everything when none does
    sums_up: str = ""  # the last match in the output is shown with the result
    state: str = ""
    note: str = ""
    seconds: float = 0.0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return LOGS / (self.name.replace(" ", "-") + ".log")


def has_python(minors: Sequence[str]) -> bool:
    return subprocess.run([ROOT / "tests/tools/python", *minors], capture_output=True, check=False).returncode == 0


def environment(name: str, requirements: str, minors: Sequence[str], core: str) -> Callable[[], Sequence[str]]:
    def command() -> Sequence[str]:
        if not has_python(minors):
            raise LeftOut(f"no Python 3.{' or 3.'.join(minors)} for ansible-core {core}: on PATH or from pyenv")
        make = 'tests/tools/venv "$@" && "$1/bin/ansible-playbook" --version'
        return ["sh", "-c", make, "sh", f".cache/venvs/{name}", requirements, *minors]

    return command


def system_packages(listed: str) -> Callable[[], Sequence[str]]:
    """What installs those of a list that are missing."""
    return lambda: _install((ROOT / listed).read_text().splitlines())


def _install(lines: Sequence[str]) -> Sequence[str]:
    rows = [line.split(None, 1) for line in lines if not line.startswith("#")]
    path = os.environ.get("PATH", os.defpath) + SYSTEM_PATH
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    missing = [
        package for package, check in rows if subprocess.call(["sh", "-c", check], env={"PATH": path}, **quiet) != 0
    ]
    if not missing:
        return ["true"]
    names = " ".join(missing)
    if os.geteuid() != 0:
        raise LeftOut(f"not root and not installed: {names} (on Debian or Ubuntu: sudo apt install {names})")
    if not shutil.which("apt-get"):
        raise LeftOut(f"no apt-get here: install {names} by hand")
    return ["sh", "-c", f"apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends {names}"]


def in_lab(*command: str) -> Callable[[], Sequence[str]]:
    """What needs network namespaces: as root, or in a user namespace where the kernel allows it."""

    def decide() -> Sequence[str]:
        tried = subprocess.run([sys.executable, "-I", ROOT / "tests/lab/privileges.py"], capture_output=True, check=False)
        if tried.returncode:
            raise LeftOut(tried.stdout.decode(errors="replace").strip() or "tests/lab/privileges.py failed")
        return command

    return decide


def in_virtual_machine(*command: str) -> Callable[[], Sequence[str]]:
    """What needs QEMU and Debian's kernel, which is fetched here."""

    def decide() -> Sequence[str]:
        tried = subprocess.run([sys.executable, ROOT / "tests/vm/kernel.py"], capture_output=True, check=False)
        if tried.returncode:
            raise LeftOut(tried.stderr.decode(errors="replace").strip() or "tests/vm/kernel.py failed")
        return command

    return decide


def shell_scripts() -> Sequence[str]:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    scripts = [name for name in files if name and is_shell(ROOT / name)]
    return ["shellcheck", *scripts]


def is_shell(path: Path) -> bool:
    if path.suffix or not path.is_file():
        return False
    with path.open("rb") as file:
        return re.match(rb"#!.*\b(ba)?sh\b", file.readline(80)) is not None


PYTEST = ("python", "-m", "pytest", "-q", "--color=no")
COUNTS = r"(?m)^=*\s*((?:\d+ \w+(?:, )?)+ in [\d.]+s)"


def parts() -> list[Part]:
    tools = environment("newest", "tests/requirements.txt", TOOLS, "2.17 to 2.21")
    oldest = environment("oldest", "tests/requirements-oldest.txt", OLDEST, OLDEST_CORE)

    def newest(*command: str) -> Callable[[], Sequence[str]]:
        def decide() -> Sequence[str]:
            if not has_python(NEWEST):
                raise LeftOut(f"no Python 3.12 or later for ansible-core {NEWEST_CORE}: on PATH or from pyenv")
            return command

        return decide

    def static(name: str, *command: str, **options: str) -> Part:
        return Part(name, command, "newest", ("environment newest",), static=True, **options)

    def tests(name: str, *paths: str, lab: bool = False) -> Part:
        venv = name.split()[1]
        command = (*PYTEST, *paths)
        needs = (f"environment {venv}", *(("system packages",) if lab else ()))
        return Part(name, in_lab(*command) if lab else command, venv, needs, minutes=18, sums_up=COUNTS)

    def scenario_in_lab(venv: str) -> Part:
        needs = dict.fromkeys((f"environment {venv}", "environment newest", "system packages"))
        return Part(f"molecule lab {venv}", in_lab("tests/tools/molecule", "test", "-s", "lab"), venv, (*needs,))

    others = ("--ignore=tests/playbooks", "--ignore=tests/lab", "--ignore=tests/vm")
    virtual = in_virtual_machine(*PYTEST, "tests/vm")
    mypy = ("python", "-m", "mypy", "-p", "ansible_collections.homenet.traffic.plugins.plugin_utils")
    return [
        Part("environment newest", tools, static=True, sums_up=r"\[(core [\d.]+)\]"),
        Part("environment oldest", oldest, sums_up=r"\[(core [\d.]+)\]"),
        Part("system packages", system_packages("tests/system-packages.txt")),
        Part("virtual machine packages", system_packages("tests/vm/system-packages.txt"), needs=("system packages",)),
        # First, because it takes longest; it mostly waits, so it leaves room for the others.
        tests("lab newest", "-n4", "--dist", "worksteal", "tests/lab", lab=True),
        static("ansible-test sanity", "tests/tools/sanity", shows="^(ERROR|FATAL|Running)"),
        tests("playbooks newest", "tests/playbooks"),
        tests("playbooks oldest", "tests/playbooks"),
        tests("unit newest", "tests", *others),
        tests("unit oldest", "-m", "not thorough", "tests", *others),
        Part("virtual router newest", virtual, "newest", ("environment newest", "virtual machine packages"), sums_up=COUNTS),
        Part("molecule newest", newest("tests/tools/molecule"), "newest", ("environment newest",)),
        Part("molecule oldest", ("tests/tools/molecule",), "oldest", ("environment oldest", "environment newest")),
        scenario_in_lab("newest"),
        scenario_in_lab("oldest"),
        static("ansible-lint", "ansible-lint", "--profile", "production", "--offline", "--nocolor"),
        static("ruff", "ruff", "check", "."),
        static("mypy", *mypy),
        Part("shellcheck", shell_scripts, "newest", ("environment newest",), static=True),
        static("changelog", "antsibull-changelog", "lint"),
        Part("ansible-doc newest", ("python", "tests/tools/docs.py"), "newest", ("environment newest",), static=True),
        Part("ansible-doc oldest", ("python", "tests/tools/docs.py"), "oldest", ("environment oldest",)),
        Part("package", ("tests/tools/package",), "newest", ("environment newest",)),
        Part("demo", ("tests/tools/fresh-demo",)),
    ]


def surroundings(part: Part) -> dict[str, str]:
    """The environment of a part: nothing of the user's Ansible settings, everything of its own virtual environment."""
    keep = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_", "PYTHON"))}
    keep["PATH"] = keep.get("PATH", os.defpath) + SYSTEM_PATH
    keep["ANSIBLE_CONFIG"] = str(ROOT / "tests/ansible.cfg")
    if sys.platform == "linux":
        keep["LC_ALL"] = "C.UTF-8"
    if part.venv:
        venv = ROOT / ".cache" / "venvs" / part.venv
        keep["VIRTUAL_ENV"] = str(venv)
        keep["PATH"] = f"{venv / 'bin'}:{keep['PATH']}"
    return keep


def run(part: Part) -> None:
    start = time.monotonic()
    try:
        command = part.command() if callable(part.command) else part.command
    except LeftOut as why:
        part.state, part.note = LEFT_OUT, str(why)
        return
    with part.log.open("wb") as log:
        try:
            part.process = subprocess.Popen(
                command, cwd=ROOT, env=surroundings(part), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )
            code = part.process.wait(part.minutes * 60)
        except FileNotFoundError as error:
            code = 127
            log.write(f"{error.filename}: no such command\n".encode())
        except subprocess.TimeoutExpired:
            code = 124
            stop(part)
            log.write(f"\nStill running after {part.minutes:g} minutes, and ended.\n".encode())
    part.seconds = time.monotonic() - start
    part.state = FAILED if code else PASSED
    text = part.log.read_text(errors="replace")
    if part.sums_up and (found := re.findall(part.sums_up, text)):
        part.note = found[-1]
    if skips := re.findall(r"(?m)^SKIPPED .*", text) if part.sums_up else []:  # pytest's own words
        part.note = "\n    ".join([part.note, *skips])
        if part.state == PASSED and CI:
            part.state = LEFT_OUT


def stop(part: Part) -> None:
    """End a part's own process group."""
    if part.process and part.process.poll() is None:
        os.killpg(part.process.pid, signal.SIGTERM)
        try:
            part.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(part.process.pid, signal.SIGKILL)
            part.process.wait()


def tell(part: Part) -> None:
    print(f"{part.state:8} {part.seconds:6.1f} s  {part.name}{': ' * bool(part.note)}{part.note}", flush=True)
    if part.state == FAILED and part.log.exists():
        lines = part.log.read_text(errors="replace").splitlines()
        chosen = [line for line in lines if re.search(part.shows, line)] or lines
        print(*(f"    {line}" for line in chosen[-400:]), sep="\n", flush=True)


def choose(wanted: Sequence[str]) -> list[Part]:
    everything = parts()
    if not wanted:
        return everything
    names = {part.name for part in everything}
    chosen = {
        part.name for part in everything for want in wanted if want in part.name.split() or (want == "static" and part.static)
    } | (set(wanted) & names)
    if not chosen:
        sys.exit(f"No part is called {' or '.join(wanted)}. There are: static, {', '.join(sorted(names))}")
    needed = {need for part in everything if part.name in chosen for need in part.needs}
    return [part for part in everything if part.name in chosen | needed]


def run_all(chosen: list[Part]) -> None:
    """Run the parts in their order, two at a time, each when what it needs is done."""
    by_name = {part.name: part for part in chosen}
    waiting = list(chosen)
    changed = threading.Condition()

    def take() -> Part | None:
        with changed:
            while waiting:
                for part in waiting:
                    needs = [by_name[need] for need in part.needs]
                    if all(need.state for need in needs):
                        waiting.remove(part)
                        unmet = [need for need in needs if need.state != PASSED]
                        if not unmet:
                            return part
                        part.state = FAILED if any(need.state == FAILED for need in unmet) else LEFT_OUT
                        part.note = "; ".join(need.note or f"{need.name} failed" for need in unmet)
                        tell(part)
                        changed.notify_all()
                        break
                else:
                    changed.wait()
        return None

    def work() -> None:
        while part := take():
            try:
                run(part)
            except Exception as error:  # a fault of this script must not look like a part that never ran
                part.state, part.note = FAILED, repr(error)
            with changed:
                tell(part)
                changed.notify_all()

    workers = [threading.Thread(target=work, daemon=True) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        for part in chosen:
            stop(part)
        sys.exit(130)


def main() -> int:
    os.chdir(ROOT)
    LOGS.mkdir(parents=True, exist_ok=True)
    subprocess.run([ROOT / "tests/tools/link"], check=True)
    start = time.monotonic()
    chosen = choose(sys.argv[1:])
    run_all(chosen)
    count = {state: sum(part.state == state for part in chosen) for state in (PASSED, FAILED, LEFT_OUT)}
    if CI and count[LEFT_OUT]:
        print("In CI nothing may be left out: what is left out counts as failed.")
        count = {PASSED: count[PASSED], FAILED: count[FAILED] + count[LEFT_OUT], LEFT_OUT: 0}
    print(f"{time.monotonic() - start:.0f} s; what each part said stands in .cache/test/")
    print(f"{count[PASSED]} passed, {count[FAILED]} failed, {count[LEFT_OUT]} skipped")
    return 1 if count[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
