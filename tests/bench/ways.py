"""The ways of counting that packets.py compares: each installs its rules in the lab's router, and can tell what they counted."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from lab import firewall
from lab.namespaces import SYSTEM_PATH
from lab.network import Lab

from ansible_collections.homenet.traffic.plugins.plugin_utils import _chain, _chain_plan, _ipset, _nft
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain

Hosts = Sequence[str]
TABLE = ("inet", "homenet_traffic")


@dataclass(frozen=True)
class Way:
    """``iptables``: what the router's own firewall is made with. ``packets``: how many were counted, for a host or for the rest.

    ``aims``: how much more time a packet may take, by the number of hosts.
    """

    name: str
    iptables: tuple[str, ...]
    install: Callable[[Lab, Hosts], None]
    packets: Callable[[Lab], int]
    remove: Callable[[Lab], None]
    aims: Mapping[int, float] = field(default_factory=dict)


def install_chain(network: Lab, hosts: Hosts, *, split: bool) -> None:
    """The collection's own plan, as one change."""
    settings = _chain.Settings(goto=split)
    forward = Chain("FORWARD", None, "ACCEPT", ())
    wanted = _chain.Wanted(tuple(hosts), (network.spec.wan,))
    steps = _chain_plan.plan_present(settings, _chain.Observed(None, forward), wanted, _chain.Marker("127.1.2.3", "127.4.5.6"))
    network.box.tool("sh", "-e", stdin=_chain.restore_command(settings, "iptables-restore --noflush", steps))


def install_ipset(network: Lab, hosts: Hosts) -> None:
    """The collection's own sets, and its chain that looks into them."""
    settings, life = _chain.Settings(), _chain.Marker("127.1.2.3", "127.4.5.6")
    wanted = _chain.Wanted(tuple(hosts), (network.spec.wan,))
    observed = _chain.Observed(None, Chain("FORWARD", None, "ACCEPT", ()))
    sets = _ipset.restore_command("ipset", _ipset.plan_sets(settings, {}, wanted, life))
    steps = _ipset.plan_chain(settings, observed, wanted, life)
    rules = _chain.restore_command(settings, "iptables-restore --noflush", steps)
    network.box.tool("sh", "-e", stdin=f"{sets}\n{rules}")


def install_nftables(network: Lab, hosts: Hosts) -> None:
    """The collection's own table, as one change."""
    wanted = _nft.NftWanted(tuple(hosts), (network.spec.wan,))
    plan = _nft.plan_present(_nft.NftSettings(), None, wanted, "0123456789abcdef")
    network.box.tool("sh", "-e", stdin=_nft.transaction(plan.lines))


def chain_packets(network: Lab) -> int:
    """All rules that count; what leads to a sub-chain, or into a set, only passes on."""
    saved = network.box.tool("iptables-save", "-c", "-t", "filter")
    rules = re.findall(r"(?m)^\[(\d+):\d+\] -A TRAFFIC\S*(?! .*-g TRAFFIC)(?! .*--match-set) ", saved)
    return sum(map(int, rules))


def ipset_packets(network: Lab) -> int:
    found = re.findall(r"(?m)^add .* packets (\d+)", network.box.tool("ipset", "save"))
    return chain_packets(network) + sum(map(int, found))


def nftables_packets(network: Lab) -> int:
    items = json.loads(network.box.tool("nft", "-j", "list", "table", *TABLE))["nftables"]
    elements = [one for item in items if "set" in item for one in item["set"].get("elem", []) if isinstance(one, dict)]
    rest = [item["counter"] for item in items if "counter" in item]
    return sum(one["packets"] for one in [*(one["elem"]["counter"] for one in elements), *rest])


def remove_chains(network: Lab) -> None:
    firewall.install(network.box, network.spec, ["filter"])


def remove_ipset(network: Lab) -> None:
    remove_chains(network)
    network.box.tool("ipset", "destroy")


def remove_nftables(network: Lab) -> None:
    network.box.tool("nft", "delete", "table", *TABLE)


SETS = {500: 0.20, 4000: 0.25}
SUB_CHAINS = {500: 0.40}
NONE = "none"
WAYS = (
    Way(NONE, ("legacy", "nft"), lambda _network, _hosts: None, lambda _network: 0, lambda _network: None),
    Way("iptables, one chain", ("legacy", "nft"), partial(install_chain, split=False), chain_packets, remove_chains),
    Way("iptables, sub-chains", ("legacy",), partial(install_chain, split=True), chain_packets, remove_chains, SUB_CHAINS),
    Way("iptables, sub-chains", ("nft",), partial(install_chain, split=True), chain_packets, remove_chains),
    Way("iptables and ipset", ("legacy", "nft"), install_ipset, ipset_packets, remove_ipset, SETS),
    Way("nftables sets", ("legacy", "nft"), install_nftables, nftables_packets, remove_nftables, SETS),
)


def ways_of(iptables: str) -> list[Way]:
    """Those that this machine has the programs for."""
    no_ipset = shutil.which("ipset", path=SYSTEM_PATH) is None
    return [way for way in WAYS if iptables in way.iptables and not (no_ipset and way.install is install_ipset)]
