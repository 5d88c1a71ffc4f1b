"""Ports that are taken are told, and what listens anywhere is reached."""

from __future__ import annotations

import socket

import pytest

from pavemap.serving.listening import is_free, is_loopback, reachable


@pytest.mark.parametrize(
    ("listens", "reached"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("fd00::1", "[fd00::1]"),
        ("roads.example.org", "roads.example.org"),
    ],
)
def test_what_listens_anywhere_is_reached_from_here(listens: str, reached: str) -> None:
    assert reachable(listens) == reached


def test_a_port_is_taken_where_another_listens_on_that_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        assert not is_free("0.0.0.0", port)
    assert is_free("127.0.0.1", port)
    assert is_free("no-such-host.invalid", port)  # uvicorn says what is wrong with it


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_names_of_this_machine_are_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.0.1", "localhost.example.org"])
def test_others_are_not_taken_for_it(host: str) -> None:
    assert not is_loopback(host)
