# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces, addresses and routes of a lab's namespaces."""

from __future__ import annotations

from collections.abc import Iterable

from .namespaces import inside, run
from .spec import GATEWAY, LAN6, ROUTER_IP, ROUTER_MAC, SERVER, SERVER6, ULA6, WAN6, WAN_IP, LabSpec, LanHost


def wire(spec: LabSpec, router: str, wan: str, hosts: Iterable[LanHost]) -> None:
    for namespace in (router, wan):
        _ipv6(namespace, spec.ipv6)
    _wan_link(spec, router, wan)
    # An address of its own: else a bridge takes the lowest of its ports', and with a new port nobody finds it for a while.
    _links(router, f"link add {spec.lan} address {ROUTER_MAC} type bridge", f"link set {spec.lan} up")
    _links(router, f"address add {ROUTER_IP}/24 dev {spec.lan}")
    for host in hosts:
        plug_in(spec, router, host)
    _sysctl(router, ("net/ipv4/ip_forward",), "1")
    if spec.ipv6:
        _wire_ipv6(spec, router, wan)


def plug_in(spec: LabSpec, router: str, host: LanHost) -> None:
    """A device with a cable to the router, with its addresses."""
    number = host.ip.rsplit(".", 1)[1]
    _ipv6(host.namespace, spec.ipv6)
    _links(router, f"link add port{number} type veth peer name eth0 address {host.mac} netns {host.namespace}")
    _links(router, f"link set port{number} master {spec.lan} up")
    _links(host.namespace, "link set eth0 up", f"address add {host.ip}/24 dev eth0", f"route add default via {ROUTER_IP}")
    if spec.ipv6:
        for prefix in (LAN6, ULA6):
            _links(host.namespace, f"address add {prefix}{number}/64 dev eth0 nodad")
        _links(host.namespace, f"route add default via {LAN6}1")


def _wan_link(spec: LabSpec, router: str, wan: str) -> None:
    if "." in spec.wan:
        _vlan(spec.wan, router, wan)
        _links(router, f"address add {WAN_IP}/24 dev {spec.wan}")
        _links(wan, f"address add {GATEWAY}/24 dev isp0")
    else:
        _links(router, f"link add {spec.wan} type veth peer name isp0 netns {wan}")
        _links(router, f"address add {WAN_IP} peer {GATEWAY} dev {spec.wan}")
        _links(wan, f"address add {GATEWAY} peer {WAN_IP} dev isp0")
    _links(wan, f"address add {SERVER}/32 dev lo", "link set isp0 up")
    _links(router, f"link set {spec.wan} up", f"route add default via {GATEWAY} dev {spec.wan}")


def _vlan(name: str, router: str, wan: str) -> None:
    """A tagged network on a trunk; where the kernel has no VLANs, a plain link of that name."""
    trunk, tag = name.split(".")
    _links(router, f"link add {trunk} type veth peer name trunk0 netns {wan}", f"link set {trunk} up")
    _links(wan, "link set trunk0 up")
    try:
        _links(router, f"link add link {trunk} name {name} type vlan id {tag}")
    except RuntimeError as error:
        if "Unknown device type" not in str(error):
            raise
        _links(router, f"link add {name} type veth peer name isp0 netns {wan}")
    else:
        _links(wan, f"link add link trunk0 name isp0 type vlan id {tag}")


def _wire_ipv6(spec: LabSpec, router: str, wan: str) -> None:
    _sysctl(router, ("net/ipv6/conf/all/forwarding",), "1")
    for prefix in (LAN6, ULA6):
        _links(router, f"address add {prefix}1/64 dev {spec.lan} nodad")
    _links(router, f"address add {WAN6}2/64 dev {spec.wan} nodad", f"route add default via {WAN6}1")
    _links(wan, f"address add {WAN6}1/64 dev isp0 nodad", f"address add {SERVER6}/128 dev lo nodad")
    _links(wan, f"route add {LAN6}/64 via {WAN6}2")


def _ipv6(namespace: str, wanted: bool) -> None:
    """Off where it is not asked for, or neighbor discovery sends bytes that nobody asked for."""
    _sysctl(namespace, [f"net/ipv6/conf/{which}/disable_ipv6" for which in ("all", "default")], "0" if wanted else "1")


def _sysctl(namespace: str, names: Iterable[str], value: str) -> None:
    run(*inside(namespace, "tee", *(f"/proc/sys/{name}" for name in names)), stdin=value)


def _links(namespace: str, *commands: str) -> None:
    """Commands of ``ip``, all in one go; the first that fails ends it."""
    run("ip", "-n", namespace, "-batch", "-", stdin="".join(f"{command}\n" for command in commands))
