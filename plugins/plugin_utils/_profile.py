# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Router profiles: what a router model is like, as data. Private to this collection.

A profile is a YAML file; docs/profiles.md describes its keys for users. What all routers have in common (the wordings of
log-ins and errors, log noise) stands in templates/routers/_common.yml: a profile adds to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Pattern, TrafficError

TEMPLATES = Path(__file__).parents[2] / "templates"
READS = ("neighbors", "names", "routes", "routes6", "interfaces", "addresses", "uptime", "system", "programs")
LOGIN_MOMENTS = ("user", "password", "failed", "lockout", "busy", "refused")
TOKEN = "{token}"

Patterns = tuple[Pattern, ...]

# A safe loader, in C where there is one.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ProfileError(TrafficError):
    """A profile that cannot be used. The message names the file and the key."""


@dataclass(frozen=True)
class Read:
    """A command, and the template that reads its answer."""

    command: str
    template: Path


@dataclass(frozen=True)
class Sign:
    """A command, what in its answer means that traffic will not be counted, and how the user is told.

    ``off`` and ``on`` turn it off until the next restart and on again, where a command can.
    """

    code: str
    command: str
    pattern: Pattern
    message: str
    off: str | None = None
    on: str | None = None


@dataclass(frozen=True)
class Profile:
    """A router model. ``sync`` and ``logout`` are None where the router has no such command.

    ``shell``: its command line is a Bourne shell. ``iptables`` and ``iptables_restore`` are ways to call these programs, the
    first that works is taken.
    """

    name: str
    description: str
    recognize: Patterns
    prompt: Patterns
    sync: str | None
    logout: str | None
    shell: bool
    iptables: tuple[str, ...]
    iptables_restore: tuple[str, ...]
    ip6tables: tuple[str, ...]
    ip6tables_restore: tuple[str, ...]
    ipset: tuple[str, ...]
    chain_template: Path
    lan_interfaces: Pattern | None
    read: Mapping[str, tuple[Read, ...]]
    findings: tuple[Sign, ...]
    login: Mapping[str, Patterns]
    errors: Mapping[str, Patterns]
    noise: Patterns
    source: Path = field(compare=False)


def load(name: str) -> Profile:
    """The profile with this name, or in this file (a path with a slash or ending in .yml or .yaml)."""
    if "/" in name or name.endswith((".yml", ".yaml")):
        return _load(Path(name).expanduser())
    if name not in builtin_names():
        raise ProfileError(
            f"traffic_profile: there is no router profile {name!r}. Known are auto, {', '.join(builtin_names())}; for a "
            "profile of your own, give its path, with a slash in it (docs/profiles.md)."
        )
    return _load(TEMPLATES / "routers" / f"{name}.yml")


@cache
def builtin_names() -> tuple[str, ...]:
    """The names of the profiles that come with the collection."""
    return tuple(sorted(path.stem for path in (TEMPLATES / "routers").glob("[!_]*.yml")))


def builtin() -> tuple[Profile, ...]:
    """The profiles that come with the collection."""
    return tuple(load(name) for name in builtin_names())


@cache
def common() -> Profile:
    """What is known of a router before its profile is: how log-ins look, and nothing to run."""
    return _build({"name": "auto", "description": "any router", **_common_keys()}, TEMPLATES / "routers" / "_common.yml")


def recognize(said: str, profiles: Iterable[Profile]) -> Profile | None:
    """The first profile that recognizes what a router said from connecting up to its first prompt."""
    return next((one for one in profiles if any(pattern.search(said) for pattern in one.recognize)), None)


@cache
def _load(path: Path) -> Profile:
    keys = _read(path)
    for required in ("name", "description", "recognize", "read", "iptables"):
        if required not in keys:
            raise ProfileError(f"Profile {path}: {required}: this key is missing (docs/profiles.md).")
    return _build(_merged(_common_keys(), keys, path), path)


@cache
def _common_keys() -> dict[str, Any]:
    return _read(TEMPLATES / "routers" / "_common.yml")


def _read(path: Path) -> dict[str, Any]:
    try:
        keys = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ProfileError(f"Profile {path}: it cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ProfileError(f"Profile {path}{line}: it is not YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(keys, dict):
        raise ProfileError(f"Profile {path}: it is not a mapping of keys to values (docs/profiles.md).")
    return keys


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A profile's own keys on top of the shared ones: log-in and error wordings, findings and noise are added, the rest replaced."""
    merged = {**shared, **own}
    for key in ("login", "errors"):
        mine = own.get(key, {})
        if not isinstance(mine, dict):
            raise ProfileError(f"Profile {path}: {key}: it must be a mapping of names to lists of patterns.")
        merged[key] = {
            name: [*_as_list(mine.get(name)), *_as_list(shared[key].get(name))] for name in {**shared[key], **mine}
        }
    for key in ("findings", "noise"):
        merged[key] = [*_as_list(own.get(key)), *shared[key]]
    return merged


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _build(keys: Mapping[str, Any], path: Path) -> Profile:
    check = _Checker(path)
    check.known(keys, "", _KEYS)
    values = {name: convert(check, keys[name] if name in keys else default, name) for name, (convert, default) in _KEYS.items()}
    return Profile(source=path, **values)


class _Checker:
    """Turns the values of a profile into those of the dataclass, or says which key is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def error(self, key: str, problem: str) -> ProfileError:
        return ProfileError(f"Profile {self.path}: {key}: {problem}")

    def known(self, keys: Mapping[Any, Any], inside: str, allowed: Iterable[str]) -> None:
        allowed = list(allowed)
        for key in keys:
            if key not in allowed:
                near = get_close_matches(str(key), allowed, 1)
                hint = f" Did you mean {near[0]}?" if near else f" Known are {', '.join(allowed)}."
                raise self.error(f"{inside}{key}", f"there is no such key.{hint}")

    def text(self, value: Any, key: str) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.error(key, "it must be a text.")
        return value

    def command(self, value: Any, key: str) -> str:
        text = self.text(value, key)
        if not text.isprintable() or not text.isascii() or len(text) > 400:
            raise self.error(key, "a command is one line of at most 400 printable ASCII characters.")
        return text

    def optional_command(self, value: Any, key: str) -> str | None:
        return None if value is None else self.command(value, key)

    def commands(self, value: Any, key: str) -> tuple[str, ...]:
        return tuple(self.command(one, f"{key}[{at}]" if isinstance(value, list) else key) for at, one in enumerate(_as_list(value)))

    def programs(self, value: Any, key: str) -> tuple[str, ...]:
        return self.commands(value, key) or (self.command(value, key),)

    def truth(self, value: Any, key: str) -> bool:
        if not isinstance(value, bool):
            raise self.error(key, "it must be true or false.")
        return value

    def sync(self, value: Any, key: str) -> str | None:
        text = self.optional_command(value, key)
        if text is not None and text.count(TOKEN) != 1:
            raise self.error(key, f"it must contain {TOKEN} once: a random word that the router prints back.")
        return text

    def pattern(self, value: Any, key: str) -> Pattern:
        pattern = Pattern(self.text(value, key))
        if self.path.parent != TEMPLATES / "routers":  # those of the collection were checked by its tests
            try:
                pattern.search("")
            except re.error as error:
                raise self.error(key, f"it is not a regular expression: {error}.") from error
        return pattern

    def optional_pattern(self, value: Any, key: str) -> Pattern | None:
        return None if value is None else self.pattern(value, key)

    def patterns(self, value: Any, key: str) -> Patterns:
        return tuple(self.pattern(one, f"{key}[{at}]") for at, one in enumerate(_as_list(value)))

    def named_patterns(self, value: Any, key: str, allowed: Iterable[str] | None = None) -> Mapping[str, Patterns]:
        if not isinstance(value, dict):
            raise self.error(key, "it must be a mapping of names to lists of patterns.")
        if allowed is not None:
            self.known(value, f"{key}.", allowed)
        return {str(name): self.patterns(one, f"{key}.{name}") for name, one in value.items()}

    def login(self, value: Any, key: str) -> Mapping[str, Patterns]:
        return self.named_patterns(value, key, LOGIN_MOMENTS)

    def reads(self, value: Any, key: str) -> Mapping[str, tuple[Read, ...]]:
        if not isinstance(value, dict):
            raise self.error(key, f"it must be a mapping with the keys {', '.join(READS)}.")
        self.known(value, f"{key}.", READS)
        return {
            name: tuple(self.read(one, f"{key}.{name}[{at}]") for at, one in enumerate(_as_list(ways)))
            for name, ways in value.items()
        }

    def read(self, value: Any, key: str) -> Read:
        if not isinstance(value, dict):
            raise self.error(key, "it must have the keys command and template.")
        self.known(value, f"{key}.", ("command", "template"))
        return Read(
            self.command(value.get("command"), f"{key}.command"), self.template(value.get("template"), f"{key}.template")
        )

    def findings(self, value: Any, key: str) -> tuple[Sign, ...]:
        return tuple(self.sign(one, f"{key}[{at}]") for at, one in enumerate(_as_list(value)))

    def sign(self, value: Any, key: str) -> Sign:
        if not isinstance(value, dict):
            raise self.error(key, "it must have the keys code, command, pattern and message.")
        value = {{True: "on", False: "off"}.get(name, name): one for name, one in value.items()}  # YAML reads these words as such
        self.known(value, f"{key}.", ("code", "command", "pattern", "message", "off", "on"))
        code = self.text(value.get("code"), f"{key}.code")
        if not re.fullmatch("[a-z][a-z0-9_]*", code):
            raise self.error(f"{key}.code", "it must be a word of small letters, digits and '_'.")
        return Sign(
            code,
            self.command(value.get("command"), f"{key}.command"),
            self.pattern(value.get("pattern"), f"{key}.pattern"),
            " ".join(self.text(value.get("message"), f"{key}.message").split()),
            self.optional_command(value.get("off"), f"{key}.off"),
            self.optional_command(value.get("on"), f"{key}.on"),
        )

    def template(self, value: Any, key: str) -> Path:
        name = self.text(value, key)
        beside = self.path.parent / name
        for path in (beside, beside.with_name(f"{beside.name}.textfsm"), TEMPLATES / "textfsm" / f"{name}.textfsm"):
            if path.is_file():
                return path
        raise self.error(key, f"there is no template {name!r}, neither beside the profile nor in the collection.")


_KEYS: dict[str, tuple[Callable[[_Checker, Any, str], Any], Any]] = {
    "name": (_Checker.text, None),
    "description": (_Checker.text, None),
    "recognize": (_Checker.patterns, []),
    "prompt": (_Checker.patterns, []),
    "sync": (_Checker.sync, None),
    "logout": (_Checker.optional_command, None),
    "shell": (_Checker.truth, False),
    "iptables": (_Checker.programs, "iptables"),
    "iptables_restore": (_Checker.commands, None),
    "ip6tables": (_Checker.commands, None),
    "ip6tables_restore": (_Checker.commands, None),
    "ipset": (_Checker.commands, None),
    "chain_template": (_Checker.template, "iptables"),
    "lan_interfaces": (_Checker.optional_pattern, None),
    "read": (_Checker.reads, {}),
    "findings": (_Checker.findings, []),
    "login": (_Checker.login, {}),
    "errors": (_Checker.named_patterns, {}),
    "noise": (_Checker.patterns, []),
}
