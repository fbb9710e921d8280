# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real router out of namespaces, for tests with a real kernel. Built in 0.2 s, gone in 0.05 s.

Put the directory ``tests`` on ``sys.path``::

    from lab.flows import Flow, mixed
    from lab.network import lab

    with lab(hosts=3, wan="eth0.2", backend="nft", servers=("telnet", "dropbear", "sshd")) as network:   # see spec.py: LabSpec

Log in: every server is at a loopback port of this machine. Users ``root`` (a shell; ``shell="dash"``), and over SSH also ``keeper``
(not root; ``su``); their password is ``admin``::

        network.at("telnet")            # (host, port): "router login:", "Password:", root@router:~#
        network.at("sshd")              # with network.key, network.known_hosts("sshd") and /etc/ssh/sshd_config by sshd_options=(...)
        network.at("broadcom")          # telnet to the emulated Broadcom CLI (user admin); network.set_faults(), .sessions()
        network.share(folder)           # let a folder of this machine be seen inside, for:
        network.in_router("ansible-playbook", "-c", "local", ..., folder=folder)     # a command line for subprocess
        network.on_lan("ansible-playbook", ...)                                      # the same on a LAN host: 192.168.1.1

The router has its own /etc, /run (with the xtables lock), /tmp, /var, /bin, /sbin and process table; this machine is at /rom there::

        network.path("/tmp/dhcp.leases").write_bytes(b"...")        # any file of the router, from here
        network.box.run("sh", "-c", "...")                          # any command, to its end
        network.reboots                                             # what a successful `$(reboot)` would have left

Traffic and what is true about it, from nftables rules of the lab's own::

        network.flows(mixed(network.hosts, 200))                    # iperf3, TCP and UDP, both ways, at once: 200 MB in 0.5 s
        with network.flowing([Flow(host, 50_000_000, "up", "udp")]):     # while something else happens
        with network.busy(mixed(network.hosts, 5)):                 # the same again and again, until it has happened
        network.datagrams(host, download=[1400], upload=[1])        # to the byte
        late = network.add_host()
        network.settle()                                            # until nothing is on its way any more
        network.truth()["192.168.1.11"].download_bytes              # a Passed for every host
        network.everything().total, .addresses                      # all, and every address that was seen, IPv6 too (ipv6=True)
        network.ping(host)

The firewall::

        network.iptables("-nvxL", "TRAFFIC")                        # past every login
        network.foreign_firewall(counters=True)                     # iptables-save without TRAFFIC and what leads to it
        network.reload_firewall("rebuild")                          # or "insert", "replace"; table="mangle"
"""
