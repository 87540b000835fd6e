"""The ports that servers are given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from gress_ml.dev.port import free_ports


def test_no_port_is_given_to_two_servers_of_which_none_listens_yet() -> None:
    """Servers start side by side, and listen seconds after they were told where."""
    with ThreadPoolExecutor(4) as pool:
        ports = [port for found in pool.map(free_ports, [3] * 200) for port in found]
    assert len(set(ports)) == 600
