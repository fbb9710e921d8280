# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions on one router have in common: options in, one session, a result out. Private to this collection."""

from __future__ import annotations

import gc
import traceback
from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader
from ansible.utils.display import Display

from ansible_collections.homenet.traffic.plugins.plugin_utils import _chain, _profile
from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Backend
from ansible_collections.homenet.traffic.plugins.plugin_utils._cli_connection import CliConnection
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import load_template
from ansible_collections.homenet.traffic.plugins.plugin_utils._play import stays_unreachable
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._results import (
    counted_result,
    findings_result,
    hosts_result,
    names_result,
    status_result,
    wan_result,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._router import READING, Router
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import BECOME, Script, Shell, executed
from ansible_collections.homenet.traffic.plugins.plugin_utils._variables import OF_ROUTERS, PREFIX, misspelt, told_by_option

display = Display()

CONNECTIONS = ("homenet.traffic.telnet", "homenet.traffic.ssh_cli")  # to a command line; any other that runs commands leads to a real shell


class RouterAction(ActionBase):  # type: ignore[misc]
    """An action that talks with one router, in one session."""

    ARGUMENTS: dict[str, dict[str, Any]] = {"profile": {"type": "str"}}
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the action. Errors are returned, not raised: a raised one gets prefixes, and an excerpt of the playbook."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            self._take_variables(task_vars or {})
            _checked, arguments = self.validate_argument_spec(argument_spec=self.ARGUMENTS)
            self.work(arguments, result)
        except TrafficError as error:
            result.update({"unreachable" if error.unreachable else "failed": True, "msg": str(error)})
        except AnsibleConnectionFailure as error:
            result.update(unreachable=True, msg=with_hint(str(error)))
        except AnsibleError as error:
            result.update(failed=True, msg=with_hint(told_by_option(str(error))))
        except Exception as error:
            display.vvv(traceback.format_exc())
            result.update(
                failed=True, msg=f"homenet.traffic has a mistake: {type(error).__name__}: {error}. Please report it, with what -vvv shows."
            )
        finally:
            self._connection.close()
        if result.get("unreachable") and stays_unreachable(task_vars or {}):
            self._task.ignore_unreachable = True
        return result

    def _take_variables(self, variables: dict[str, Any]) -> None:
        """For one of these options that the task does not give, the variable ``traffic_OPTION`` counts, as with a connection's.

        Templating every option in the playbook would cost each router more than reading its counters.
        """
        for option in OF_ROUTERS:
            name = f"{PREFIX}{option}"
            if option in self.ARGUMENTS and option not in self._task.args and name in variables:
                self._task.args[option] = self._templar.template(variables[name])
        for warning in misspelt(variables):
            display.warning(warning)  # Ansible shows it once, whatever the number of routers

    def work(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Do the job and fill the result. What it holds when an error is raised is returned with the error."""
        raise NotImplementedError

    def open_router(self, arguments: dict[str, Any], settings: _chain.Settings) -> Router:
        """Log in."""
        wan = interface_list(arguments.get("wan_interfaces"))
        if isinstance(self._connection, CliConnection):
            if arguments["profile"]:
                self._connection.set_option("profile", arguments["profile"])
            run, profile = self._connection.open()
        else:
            run, profile = self._remote_shell(), self._shell_profile(arguments["profile"] or "auto")
        return Router(run, profile, self.where, settings, wan)

    @property
    def where(self) -> str:
        """How messages name the router."""
        if isinstance(self._connection, CliConnection):
            return self._connection.where
        return "this machine" if self._connection.transport == "local" else str(self._play_context.remote_addr)

    def _shell_profile(self, name: str) -> _profile.Profile:
        profile = _profile.load("linux" if name == "auto" else name)
        if not profile.shell:
            raise TrafficError(
                f"{self.where}: the profile {profile.name} is for a command line that is no shell, which ansible_connection "
                f"{self._connection.transport!r} does not reach. Set it to {' or '.join(CONNECTIONS)}, or traffic_profile to linux."
            )
        return profile

    def _remote_shell(self) -> Shell:
        """A shell reached with a connection of Ansible's own; the script is its standard input."""
        if not self._connection.has_pipelining:
            raise TrafficError(
                f"ansible_connection is {self._connection.transport!r}, which cannot run a script on a router. Set it to "
                f"{' or '.join(CONNECTIONS)} for a router's command line, to ansible.builtin.ssh for a real shell."
            )

        def run_script(made: Script) -> str:
            done = self._low_level_execute_command("sh", in_data=made.text.encode(), executable="", encoding_errors="surrogateescape")
            return executed(made, self.where, done["rc"], done["stdout"] + done["stderr"])

        return Shell(run_script, self.where)


def with_hint(complaint: str) -> str:
    """An error of Ansible's own connections, which says what happened, and what to do about it."""
    hint = next((hint for words, hint in _HINTS if words in complaint), None)
    return f"{complaint.rstrip().rstrip('.')}. {hint}" if hint else complaint


_ACCEPT = "If that is the router's own, accept it by logging in once by hand with ssh (docs/ssh.md)."
_IS_IT_SSH = "Is this its SSH port (ansible_port), and not telnet's?"
_HINTS = (
    ("Host key verification failed", f"Its host key is not known, or another one than it was. {_ACCEPT}"),
    ("Host Key checking is enabled", f"Its host key is not known, or another one than it was. {_ACCEPT}"),
    ("must install the sshpass", "Or set ansible_connection to homenet.traffic.ssh_cli, which needs none for a password."),
    ("Permission denied (", "Check ansible_user, and ansible_password or the key (ansible_ssh_private_key_file)."),
    (": Connection refused", "Is SSH switched on in the router, and is this its port (ansible_port)?"),
    ("banner exchange", _IS_IT_SSH),
    ("kex_exchange_identification", _IS_IT_SSH),
    *((words, BECOME) for words in ("privilege escalation prompt", "Incorrect su", "Missing su", "Incorrect doas", "Missing doas")),
)

CHAIN_ARGUMENTS: dict[str, dict[str, Any]] = {
    "profile": {"type": "str"},
    "backend": {"type": "str", "default": "auto", "choices": ["auto", "iptables", "nftables", "ipset"]},
    "chain": {"type": "str", "default": "TRAFFIC"},
    "table": {"type": "str", "default": "filter", "choices": ["filter", "mangle"]},
    "wan_interfaces": {"type": "list", "elements": "str", "default": ["auto"]},
}


def interface_list(given: list[str] | None) -> tuple[str, ...]:
    """Interfaces given by the user, validated; empty for ``auto``."""
    found = tuple(dict.fromkeys(str(one).strip() for one in given or ["auto"]))
    if [one.lower() for one in found] == ["auto"]:
        return ()
    if "auto" in map(str.lower, found):
        raise TrafficError("traffic_wan_interfaces: auto stands alone, or interfaces are named; not both.")
    for interface in found:
        _chain.check_interface(interface)
    return found


def host_list(given: list[str]) -> tuple[str, ...] | None:
    """Hosts given by the user, validated; None for ``arp``."""
    found = tuple(dict.fromkeys(str(one).strip() for one in given))
    if [one.lower() for one in found] == ["arp"]:
        return None
    if not found:
        raise TrafficError("traffic_hosts: the list is empty. Name addresses, or leave it out to count everybody in the ARP table.")
    for host in found:
        if _chain.address_of(host) is None:
            raise TrafficError(
                f"traffic_hosts: {host!r} is not an address. List the addresses of devices, IPv4 or IPv6, such as [192.168.1.2, "
                "192.168.1.3]; not their names, and no network or range. Or leave it out to count everybody in the ARP table."
            )
        _chain.check_host(host, 6 if ":" in host else 4)
    return found


def now() -> str:
    """The controller's time, UTC: routers start with a wrong clock."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def reading(router: Router, backend: Backend) -> dict[str, Any]:
    """The keys of ``counters_info`` but the hosts."""
    interfaces = router.wan_interfaces()
    wan = wan_result(interfaces, router.wan_counters())
    findings = router.findings(router.lan_hosts(), interfaces, backend.counts_ipv6)
    return {
        **counted_result(backend.counted()),
        **status_result(backend.status(interfaces)),
        "wan": wan,
        "uptime_seconds": router.uptime(),
        "read_at": now(),
        "table": backend.table,
        "backend": backend.name,
        "profile": router.profile_name,
        "sources": router.sources(),
        "findings": findings_result(findings),
    }


def known_hosts(router: Router, in_outage: bool = False) -> dict[str, Any]:
    """``hosts`` and ``names``."""
    hosts = router.lan_hosts(in_outage)
    return {"hosts": hosts_result(hosts), "names": names_result(router.leases(), hosts)}


def notes(router: Router) -> dict[str, Any]:
    """``notes``, which the report shows, and the same as Ansible's own warnings, which the terminal shows at once."""
    found = router.notes()
    return {"notes": found, "warnings": list(found)} if found else {"notes": []}


def _prepare() -> None:
    """Read and compile what every worker needs: an action is imported once, in the parent, before it forks the workers."""
    for profile in (_profile.common(), *_profile.builtin()):
        for ways in filter(None, (profile.read.get(kind) for kind in READING)):
            load_template(ways[0].template)  # the way that is usually taken
        load_template(profile.chain_template)
        # Every login needs these; the wordings of errors are compiled where one is met.
        for pattern in (*profile.recognize, *profile.prompt, *(one for group in profile.login.values() for one in group)):
            pattern.search("")
        for sign in profile.findings if profile.shell else ():  # elsewhere, only router_info asks
            sign.pattern.search("")
    # Not ssh_cli: a log-in there costs so much more that loading it first, for everybody, does not pay.
    connection_loader.get(CONNECTIONS[0], class_only=True)
    # The workers' garbage collection would touch, and so copy, all that they share with the parent.
    gc.freeze()


try:
    _prepare()
except TrafficError:
    pass  # a worker meets it again, and says it for the router that it matters to
