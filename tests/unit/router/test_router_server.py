# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from router import RouterSpec, serve
from router.client import Client


def test_a_conversation_from_login_to_exit() -> None:
    with serve(RouterSpec(hosts=2)) as routers:
        home = routers[0]
        with Client(home.host, home.port) as client:
            client.log_in()
            client.run("iptables -N TRAFFIC")
            client.run("iptables -A TRAFFIC -i ppp0 -d 192.168.1.2 -j RETURN")
            client.run("iptables -I FORWARD 1 -j TRAFFIC")
            home.use_link("192.168.1.2", 1_000_001, 777)
            listing = client.run("iptables -nvxL TRAFFIC")
            client.send(b"exit\r\n")
            client.read_to_end()
        assert "1000001 RETURN     all  --  ppp0   *       0.0.0.0/0            192.168.1.2 " in listing
        assert home.sessions[0].ended == "exit"
        assert home.sessions[0].lines[-2:] == ["iptables -nvxL TRAFFIC", "exit"]
