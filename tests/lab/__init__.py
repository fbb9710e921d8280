# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real router out of network namespaces, for tests with a real kernel (root only).

Put the directory ``tests`` on ``sys.path``::

    from lab.network import lab
    from router.client import Client

    with lab(hosts=2) as network:
        with Client(*network.loopback) as client:        # or network.on_lan("ansible-playbook", ...)
            client.log_in()
        network.stream(network.hosts[0], download=1_000_000, upload=1000)
        network.truth()["192.168.1.11"].download_bytes
"""
