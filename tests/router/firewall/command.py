# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the words of an iptables command line to one request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .addresses import ANYWHERE, Network, read_networks, read_number
from .dialect import Dialect, UsageError
from .getopt import END, MISSING, NONE, OPTIONAL, REQUIRED, UNKNOWN, WORD, Getopt, Option
from .options import MATCH_OPTIONS, TARGET_OPTIONS, Extension, open_match
from .packet import PROTOCOL_NAMES, PROTOCOLS

COMMANDS = "ACDRILSFZNXEP"
SHORT = dict.fromkeys("ACDRINEPMopsdjitmcg", REQUIRED) | dict.fromkeys("LSFZXh", OPTIONAL)
SHORT |= dict.fromkeys("Vfvnx46", NONE)
LONG = {
    "append": ("A", REQUIRED), "delete": ("D", REQUIRED), "check": ("C", REQUIRED), "insert": ("I", REQUIRED),
    "replace": ("R", REQUIRED), "list": ("L", OPTIONAL), "list-rules": ("S", OPTIONAL), "flush": ("F", OPTIONAL),
    "zero": ("Z", OPTIONAL), "new-chain": ("N", REQUIRED), "delete-chain": ("X", OPTIONAL),
    "rename-chain": ("E", REQUIRED), "policy": ("P", REQUIRED), "source": ("s", REQUIRED),
    "destination": ("d", REQUIRED), "src": ("s", REQUIRED), "dst": ("d", REQUIRED), "protocol": ("p", REQUIRED),
    "in-interface": ("i", REQUIRED), "jump": ("j", REQUIRED), "table": ("t", REQUIRED), "match": ("m", REQUIRED),
    "numeric": ("n", NONE), "out-interface": ("o", REQUIRED), "verbose": ("v", NONE), "exact": ("x", NONE),
    "fragments": ("f", NONE), "version": ("V", NONE), "help": ("h", OPTIONAL), "line-numbers": ("0", NONE),
    "modprobe": ("M", REQUIRED), "set-counters": ("c", REQUIRED), "goto": ("g", REQUIRED), "ipv4": ("4", NONE),
    "ipv6": ("6", NONE),
}  # fmt: skip
# Options that a command refuses, by the command's letter ("D#" is a deletion by number).
RULE_OPTIONS = "sdpjiof"
REFUSED = {
    "I": "nx0", "R": "nx0", "A": "nx0", "D": "nx0c", "C": "nx0c", "L": RULE_OPTIONS + "c",
} | dict.fromkeys(["D#", "F", "Z", "N", "X", "E", "S", "Z#"], "nx0c" + RULE_OPTIONS) | {"P": "nx0" + RULE_OPTIONS}  # fmt: skip
ORDER = "nsdpjvxio0cf"
INVERTIBLE = "sdpiof"


@dataclass
class Request:
    """What one command line asks for."""

    command: str = ""
    also_zero: str = ""
    table: str = "filter"
    chain: str | None = None
    rule_number: int | None = None
    argument: str = ""
    sources: list[Network] = field(default_factory=lambda: [ANYWHERE])
    destinations: list[Network] = field(default_factory=lambda: [ANYWHERE])
    in_interface: str = ""
    out_interface: str = ""
    protocol: int = 0
    options: set[str] = field(default_factory=set)
    inverted: set[str] = field(default_factory=set)
    matches: list[Extension] = field(default_factory=list)
    jump: str = ""
    target: Extension | None = None
    counters: tuple[int, int] = (0, 0)
    warnings: list[str] = field(default_factory=list)


class Informed(Exception):
    """-V and -h: print this and succeed."""


class Parser:
    """One command line. Complaints come in the order in which the real tool finds them."""

    def __init__(self, argv: list[str], dialect: Dialect) -> None:
        self._dialect = dialect
        self._newline = "\n" if dialect.blank_line_in_errors else ""
        short, long = dict(SHORT), dict(LONG)
        if dialect.wait:
            short["w"], long["wait"] = OPTIONAL, ("w", OPTIONAL)
        known_to_some = (("C", "check", dialect.check), ("S", "list-rules", dialect.list_rules), ("g", "goto", dialect.goto))
        for letter, name, known in known_to_some:
            if not known:
                del short[letter], long[name]
        self._getopt = Getopt(argv, short, long)
        self._invert = False
        self._protocol_text = ""
        self._protocol_match_loaded = False
        self._networks: dict[str, str] = {}
        self.request = Request()

    def parse(self) -> Request:
        while (option := self._getopt.next()).name != END:
            if option.name == WORD:
                self._word(option.value or "")
            elif self._handle(option):
                self._invert = False
        self._finish()
        return self.request

    def _word(self, word: str) -> None:
        if word != "!":
            raise UsageError(f"Bad argument `{word}'", bare=True)
        if self._invert:
            raise UsageError("multiple consecutive ! not allowed")
        self._invert = True

    def _handle(self, option: Option) -> bool:
        """False when the option has to be read again, with a match's options known."""
        name, value = option.name, option.value
        if name in (UNKNOWN, MISSING):
            return self._unknown(name)
        if name in COMMANDS:
            self._command(name, value)
        elif name in ("s", "d", "i", "o", "p", "j", "g"):
            self._rule_option(name, value or "")
        elif len(name) > 1:
            self._extension_option(name, value or "")
        else:
            self._plain(name, value or "")
        return True

    def _unknown(self, kind: str) -> bool:
        protocol = self._protocol_text
        if protocol in ("tcp", "udp", "icmp") and not self._protocol_match_loaded:
            if all(match.name != protocol for match in self.request.matches):
                self._protocol_match_loaded = True
                self._open_match(protocol)
                self._getopt.index -= 1
                return False
            word, options = self._getopt.previous, MATCH_OPTIONS[protocol]
            if word.startswith("--") and word[2:] not in options and any(name.startswith(word[2:]) for name in options):
                # The real one loads the match a second time now, and a shortened option has become ambiguous.
                kind = UNKNOWN
        what = "requires an argument" if kind == MISSING else ""
        quoted = f'"{self._getopt.previous}"'
        raise UsageError(f"option {quoted} {what}" if what else f"unknown option {quoted}")

    # --- commands

    def _command(self, name: str, value: str | None) -> None:
        if name == "N":
            self._check_new_chain(value or "")
        self._add_command(name)
        request, getopt = self.request, self._getopt
        chain = value if value is not None or name not in "LSFZX" else getopt.take_word()
        if chain is not None:
            request.chain = chain
        if name in "DILSZ":
            number = getopt.take_word()
            if number is not None:
                request.rule_number = self._rule_number(number)
                self._numbered(name)
        elif name in "REP":
            self._second_argument(name)

    def _numbered(self, name: str) -> None:
        if name == "Z":
            # The real tool forgets a -L given before: a listing and "zero this rule" do not combine that way round.
            self.request.command, self.request.also_zero = "Z#", ""
        elif name == "D":
            self.request.command = "D#"

    def _second_argument(self, name: str) -> None:
        word = self._getopt.take_word()
        if word is None:
            needs = {"R": "a rule number", "E": "old-chain-name and new-chain-name", "P": "a chain and a policy"}
            raise UsageError(f"-{name} requires {needs[name]}")
        if name == "R":
            self.request.rule_number = self._rule_number(word)
        else:
            self.request.argument = word

    def _add_command(self, name: str) -> None:
        self._no_invert("unexpected ! flag")
        request = self.request
        if not request.command:
            request.command = name
        elif name == "Z" and request.command in "LS":
            request.also_zero = "Z"
        elif name in "LS" and request.command in ("Z", "Z#"):
            request.also_zero, request.command = request.command, name
        else:
            raise UsageError(f"Cannot use -{name} with -{request.command[0]}{self._newline}")

    def _no_invert(self, complaint: str) -> None:
        if self._invert:
            raise UsageError(complaint)

    @staticmethod
    def _rule_number(text: str) -> int:
        number = read_number(text, 1, 0x7FFFFFFF)
        if number is None:
            raise UsageError(f"Invalid rule number `{text}'")
        return number

    def _check_new_chain(self, name: str) -> None:
        if len(name.encode()) >= 29:
            raise UsageError(f"chain name `{name}' too long (must be under 29 chars)")
        if name[:1] in ("-", "!"):
            raise UsageError(f"chain name not allowed to start with `{name[:1]}'{self._newline}")
        if name in TARGET_OPTIONS:
            raise UsageError(f"chain name may not clash with target name{self._newline}")
        if any(letter.isspace() for letter in name):
            raise UsageError(f"Invalid chain name `{name}'")

    # --- what a rule consists of

    def _rule_option(self, name: str, value: str) -> None:
        if value == "!" and self._dialect.old_negation and name in "sdiop":
            value = self._negated_value(name)
        if name in "io" and not value:
            raise UsageError("Empty interface is likely to be undesired")
        self._set_option("j" if name == "g" else name)
        setter: dict[str, Callable[[str], None]] = {
            "p": self._set_protocol, "j": self._set_jump, "g": self._set_goto,
            "i": self._set_interface_in, "o": self._set_interface_out,
        }  # fmt: skip
        if name in "sd":
            self._networks[name] = value
        else:
            setter[name](value)

    def _negated_value(self, name: str) -> str:
        self._invert = True
        word = self._getopt.take_word()
        if word is None:
            raise UsageError("no argument following `!'")
        return word

    def _set_option(self, letter: str) -> None:
        request = self.request
        if letter in request.options:
            raise UsageError(f"multiple -{letter} flags not allowed")
        request.options.add(letter)
        if self._invert:
            if letter not in INVERTIBLE:
                raise UsageError(f"cannot have ! before -{letter}")
            request.inverted.add(letter)

    def _set_protocol(self, text: str) -> None:
        name = self._protocol_text = text.lower()
        number = 0 if name == "all" else PROTOCOLS.get(name, read_number(name, 0, 255))
        if number is None:
            raise UsageError(f'unknown protocol "{name}" specified')
        self._protocol_text = PROTOCOL_NAMES.get(number, name)
        if not number and "p" in self.request.inverted:
            raise UsageError("rule would never match protocol")
        self.request.protocol = number

    def _set_interface_in(self, name: str) -> None:
        self.request.in_interface = self._interface(name)

    def _set_interface_out(self, name: str) -> None:
        self.request.out_interface = self._interface(name)

    def _interface(self, name: str) -> str:
        if len(name.encode()) > 15:
            raise UsageError(f"interface name `{name}' must be shorter than IFNAMSIZ (15)")
        if not name.endswith("+") and ("/" in name or " " in name):
            self.request.warnings.append(
                f"Warning: weird character in interface `{name}' ('/' and ' ' are not allowed by the kernel)."
            )
        return name

    def _set_goto(self, name: str) -> None:
        self._check_target_name(name)
        self.request.jump = name
        self.request.options.add("g")

    def _set_jump(self, name: str) -> None:
        self._check_target_name(name)
        self.request.jump = name
        if name in TARGET_OPTIONS:
            self.request.target = Extension(name, TARGET_OPTIONS[name])
            self._getopt.add_long(TARGET_OPTIONS[name])

    @staticmethod
    def _check_target_name(name: str) -> None:
        if not name:
            raise UsageError("Invalid target name (too short)")
        if len(name.encode()) >= 29:
            raise UsageError(f"Invalid target name `{name}' (28 chars max)")
        if any(letter.isspace() for letter in name):
            raise UsageError(f"Invalid target name `{name}'")

    def _open_match(self, name: str) -> None:
        self.request.matches.append(open_match(name))
        self._getopt.add_long(MATCH_OPTIONS[name])

    def _extension_option(self, name: str, value: str) -> None:
        target = self.request.target
        owners = [*([target] if target else []), *self.request.matches]
        owner = next(extension for extension in owners if name in extension.options)
        if name == "tcp-flags":
            word = self._getopt.take_word()
            if word is None:
                raise UsageError("--tcp-flags requires two args.")
            value = f"{value}\n{word}"
        owner.take(name, value, self._invert)

    # --- everything else

    def _plain(self, name: str, value: str) -> None:
        request = self.request
        if name in "nx0f" or (name == "v" and "v" not in request.options):
            self._set_option(name)
        elif name == "t":
            self._no_invert("unexpected ! flag before --table")
            request.table = value
        elif name == "m":
            self._no_invert("unexpected ! flag before --match")
            self._open_match(value)
        elif name == "c":
            self._set_counters(value)
        elif name == "w":
            self._getopt.take_word()
        elif name == "V":
            raise Informed(f"iptables v{self._dialect.version}\n")
        elif name == "h":
            raise Informed(f"iptables v{self._dialect.version}\n\nUsage: iptables -[ACD] chain rule-specification [options]\n")
        elif name == "6":
            raise UsageError("This is the IPv4 version of iptables.", bare=True)

    def _set_counters(self, packets: str) -> None:
        self._set_option("c")
        first, comma, second = packets.partition(",")
        word = second if comma else self._getopt.take_word()
        if word is None:
            raise UsageError("-c requires packet and byte counter")
        for kind, text in (("packet", first), ("byte", word)):
            if read_number(text, 0, 2**64 - 1) is None:
                raise UsageError(f"-c {kind} counter not numeric")
        self.request.counters = int(first), int(word)

    # --- after the last word

    def _finish(self) -> None:
        request = self.request
        for extension in request.matches:
            extension.build_match()
        if request.target:
            request.target.build_target()
        if self._getopt.index < len(self._getopt.argv):
            raise UsageError("unknown arguments found on commandline")
        if not request.command:
            raise UsageError("no command specified")
        if self._invert:
            raise UsageError("nothing appropriate following !")
        self._finish_networks()
        self._check_options()

    def _finish_networks(self) -> None:
        request = self.request
        if "s" in self._networks:
            request.sources = read_networks(self._networks["s"])
        if "d" in self._networks:
            request.destinations = read_networks(self._networks["d"])
        several = len(request.sources) > 1 or len(request.destinations) > 1
        if several and request.inverted & {"s", "d"}:
            raise UsageError("! not allowed with multiple source or destination IP addresses")
        if several and request.command == "R":
            raise UsageError("Replacement rule does not specify a unique address")

    def _check_options(self) -> None:
        request = self.request
        commands = [request.command, *([request.also_zero] if request.also_zero else [])]
        for letter in ORDER:
            if letter in request.options and all(letter in REFUSED[command] for command in commands):
                raise UsageError(f"Illegal option `-{letter}' with this command{self._newline}")
