"""Every plugin has a page that ansible-doc can show, with examples, and ansible-doc has nothing to complain about."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

COLLECTION = "homenet.traffic"
PLUGINS = Path(__file__).resolve().parent.parent.parent / "plugins"
# Not documented by themselves: actions (their module is), and what is private to the collection.
WITHOUT_PAGES = {"action", "doc_fragments", "module_utils", "plugin_utils"}
KINDS = {"modules": "module"}


def ansible_doc(*arguments: str) -> tuple[dict[str, dict[str, object]], str]:
    done = subprocess.run(["ansible-doc", "--json", *arguments], capture_output=True, text=True, check=False)
    return (json.loads(done.stdout) if done.returncode == 0 else {}), done.stderr.strip()


def main() -> int:
    problems, shown = [], 0
    for folder in sorted(path for path in PLUGINS.iterdir() if path.is_dir() and path.name not in WITHOUT_PAGES):
        files = {file.stem for file in folder.glob("[!_]*") if file.suffix in (".py", ".yml")}
        if not files:
            continue
        kind = KINDS.get(folder.name, folder.name)
        listed, complaints = ansible_doc("-t", kind, "--list", COLLECTION)
        if complaints:
            problems.append(f"{kind}: {complaints}")
        if kind in ("module", "connection"):  # a file of filters or tests can hold several
            problems += [f"{kind} {COLLECTION}.{stem}: not listed" for stem in files if f"{COLLECTION}.{stem}" not in listed]
        elif not listed:
            problems.append(f"{kind}: none of {', '.join(sorted(files))} is listed")
        for name in sorted(listed):
            pages, complaints = ansible_doc("-t", kind, name)
            if complaints or not pages.get(name, {}).get("doc"):
                problems.append(f"{kind} {name}: {complaints or 'no documentation'}")
            elif kind != "connection" and not pages[name].get("examples"):
                problems.append(f"{kind} {name}: no examples")
            shown += 1
    print(*problems, f"{shown} pages shown", sep="\n")
    return 1 if problems or not shown else 0


if __name__ == "__main__":
    sys.exit(main())
