# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong with SSH, and what to do about it. Pure. Private to this collection.

libssh's words are read for what they tell; what a server says in them is a stranger's text.
"""

from __future__ import annotations

import re
import shlex

from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import visible
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._ssh_link import SshOptions

TELNET_PORT = 23
_PAGE = "docs/ssh.md"
_NO_MATCH = re.compile(r"no match for method (?P<what>[^:\n]+): server \[(?P<offer>[^\]]*)\]")
_CAN_CONTINUE = re.compile(r"Authentication that can continue: (\S+)")

# What libssh says was being agreed on -> what it is called, what sets it, and the old ones that libssh can do, the better first.
_OLD_WITH_OPTION = {
    "kex algos": (
        "key exchanges", "key_exchange_algorithms",
        ("diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1", "diffie-hellman-group1-sha1"),
    ),
    "server host key algo": ("host keys", "host_key_algorithms", ("ssh-rsa",)),
}  # fmt: skip
_OLD_WITHOUT_OPTION = {
    "encryption": ("ciphers", "Ciphers", ("aes256-cbc", "aes192-cbc", "aes128-cbc", "3des-cbc")),
    "mac": ("MACs", "MACs", ("hmac-sha1-etm@openssh.com", "hmac-sha1")),
}


def variable(option: str) -> str:
    """The variable that sets one of our own options."""
    return f"ansible_ssh_cli_{option}"


def unknown_algorithm(options: SshOptions, option: str, algorithm: str) -> TrafficError:
    """libssh cannot do what was asked for."""
    return _unreachable(
        options,
        f"libssh does not know the algorithm {algorithm!r}, or cannot do it any more. Check {variable(option)}; {_PAGE} shows what to do "
        "without it.",
    )


def is_telnet(options: SshOptions) -> TrafficError:
    """Somebody else answers."""
    return _unreachable(
        options,
        "this is a telnet server, and no SSH. Set ansible_connection to homenet.traffic.telnet; or ansible_port to the router's SSH port "
        "(mostly 22).",
    )


def too_slow(options: SshOptions, shook_hands: bool) -> TrafficError:
    """The time is over."""
    did_not = "did not finish the log-in" if shook_hands else "accepted the connection, but did not finish the SSH handshake"
    return _unreachable(
        options, f"{did_not} within {options.timeout:g} s. {_is_its_port(options)} If it is slow, raise ansible_timeout."
    )


def _is_its_port(options: SshOptions) -> str:
    if options.port == TELNET_PORT:
        return (
            f"Port {TELNET_PORT} is telnet's: for that, set ansible_connection to homenet.traffic.telnet; for SSH, set ansible_port to the "
            "router's SSH port (mostly 22)."
        )
    return "Is this its SSH port (ansible_port)?"


def proxy_failed(options: SshOptions, complaint: str) -> TrafficError:
    """The program that should have carried the bytes."""
    return _unreachable(options, f"the proxy command {_quiet(options, complaint)}. Check {variable('proxy_command')}.")


def no_handshake(options: SshOptions, told: str) -> TrafficError:
    """No encrypted connection came to be."""
    found = _NO_MATCH.search(told)
    if found:
        return _unreachable(options, _no_match(options, found["what"], found["offer"].split(",")))
    words = _quiet(options, told.removeprefix("ssh connect failed:"))
    return _unreachable(
        options, f"the SSH handshake failed: {words}. {_is_its_port(options)} Is another session open?"
    )


def _no_match(options: SshOptions, what: str, offer: list[str]) -> str:
    offer = [one for one in offer if not one.startswith("kex-strict-")]
    shown = _quiet(options, ", ".join(offer))
    if what in _OLD_WITH_OPTION:
        name, option, old = _OLD_WITH_OPTION[what]
        usable = next((one for one in old if one in offer), None)
        if usable:
            return (
                f"its {name} are old ones, which are off by default: {shown}. If it has no newer firmware, set "
                f"{variable(option)}: +{usable}"
            )
        return f"libssh can do none of its {name}: {shown}. {_PAGE} shows how to use ansible.builtin.ssh instead."
    name, keyword, old = _OLD_WITHOUT_OPTION.get(what.split(maxsplit=1)[0], (what, "", ()))
    usable = next((one for one in old if one in offer), None)
    if usable:
        return (
            f"its {name} are old ones, which are off by default: {shown}. If it has no newer firmware, write two lines into "
            f"~/.ssh/config: `Host {_quiet(options, options.host)}` and `{keyword} +{usable}` ({_PAGE})."
        )
    return f"libssh can do none of its {name}: {shown}. {_PAGE} shows how to use ansible.builtin.ssh instead."


def host_key_problem(options: SshOptions, told: str, key: str) -> TrafficError:
    """The host key is unknown, or another one."""
    if told.startswith(("Host is unknown", "Host file not found")):
        return _unreachable(
            options,
            f"its host key is not known: {key}. If that is the router's own, accept it by logging in once by hand: "
            f"`{_ssh(options)}` ({_PAGE} has other ways, for many routers).",
        )
    if told.startswith("Host key"):
        return _unreachable(
            options,
            f"its host key is not the one in known_hosts: it is {key} now. A router that was reset or replaced has a new one; if "
            f"that is so, forget the old one with `{_ssh_keygen(options)}` and accept the new one with `{_ssh(options)}`. If not, "
            "somebody may be in between: nothing was sent.",
        )
    return _unreachable(options, f"its host key could not be checked: {_quiet(options, told)}.")


def refused(options: SshOptions, told: str) -> TrafficError:
    """The router did not let us in. The password was sent once at most."""
    found = _CAN_CONTINUE.search(told)
    ways = f" It accepts: {_quiet(options, found[1])}." if found else ""
    if "PUBLICKEY_ACCEPTED_TYPES" in told:
        return _unreachable(
            options,
            "it takes RSA keys only with old signatures, which are off by default. Use a key of another type or, if the router "
            f"can do no better, set {variable('public_key_algorithms')}: +ssh-rsa",
        )
    if options.password is not None:
        return _unreachable(
            options,
            "the user name or the password was refused. It was tried once only, so that nobody is locked out: check ansible_user "
            f"and ansible_password.{ways}",
        )
    if options.private_key_file:
        return _unreachable(
            options,
            f"the key {options.private_key_file} was refused. Check ansible_user and ansible_private_key_file (a key with a "
            f"passphrase also needs ansible_private_key_passphrase or an SSH agent).{ways}",
        )
    return _unreachable(
        options, f"no key of an SSH agent or in ~/.ssh was accepted. Set ansible_password or ansible_private_key_file.{ways}"
    )


def _unreachable(options: SshOptions, text: str) -> TrafficError:
    return TrafficError(f"{options.where}: {text}", unreachable=True)


def _quiet(options: SshOptions, words: str) -> str:
    """A stranger's words as plain text of a bearable length, without the secrets that he may repeat."""
    for secret in (options.password, options.passphrase):
        words = words.replace(secret, "***") if secret else words
    text = " ".join(visible(words).split()).rstrip(".")
    return text if len(text) <= 200 else f"{text[:197]}..."


def _ssh(options: SshOptions) -> str:
    """What a person types to log in there."""
    words, known = ["ssh"], options.known_hosts_file or ""
    for name, value in (
        ("KexAlgorithms", options.key_exchange_algorithms),
        ("HostKeyAlgorithms", options.host_key_algorithms),
        ("UserKnownHostsFile", f'"{known}"' if " " in known else known),
        ("ProxyCommand", options.proxy_command),
    ):
        words += ["-o", f"{name}={value}"] if value else []
    words += ["-p", str(options.port)] if options.port != 22 else []
    return shlex.join([*words, f"{options.user}@{options.host}" if options.user else options.host])


def _ssh_keygen(options: SshOptions) -> str:
    """What a person types to forget a host key."""
    host = options.host if options.port == 22 else f"[{options.host}]:{options.port}"
    return shlex.join(["ssh-keygen", *(["-f", options.known_hosts_file] if options.known_hosts_file else []), "-R", host])
