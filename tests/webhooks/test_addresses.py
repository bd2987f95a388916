"""Where a URL of somebody else's may lead: a list of what has been tried elsewhere."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.webhooks.addresses import allowed, chosen, in_turn, is_public, networks

FORBIDDEN = (
    # this host, loopback, private
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    # link-local and metadata
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
    # carrier-grade NAT, benchmarks, documentation, protocol assignments, relays
    "100.64.0.1",
    "100.127.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.0.0.1",
    "192.88.99.1",
    # multicast, reserved, broadcast
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    # IPv6: the same again
    "::",
    "::1",
    "fc00::1",
    "fdff:ffff::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
    "2001:db8::1",
    "3fff::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "5f00::1",
    "4000::1",
    "200::1",
    # IPv4 inside IPv6: compatible, mapped, translated
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::ffff:0.0.0.0",
    "::ffff:0:127.0.0.1",
    # NAT64
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::100.64.0.1",
    "64:ff9b:1::127.0.0.1",
    "64:ff9b:1:7f00:0:100:808:808",
    "64:ff9b:1:a9fe:a9:fe00:808:808",
    # 6to4
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:c0a8:1::1",
    "2002:a9fe:a9fe::",
    "2002:6440:1::",
    "2002:e000:1::",
    # Teredo: the server, and the client whose address is inverted
    "2001:0:7f00:1::",
    "2001:0:a9fe:a9fe:0:0:f7f7:f7f7",
    "2001:0:808:808:0:0:80ff:fffe",
    "2001:0:808:808:0:0:5601:5601",
)
PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "169.253.255.255",
    "169.255.0.1",
    "168.63.129.15",
    "192.169.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
)
HOSTS = (
    "2130706433",
    "0x7f000001",
    "0x7F.0.0.1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.1",
    "127.0.1",
    "0",
    "0.0",
    "00000000.0",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "167772161",
    "10.1",
    "012.0.0.1",
    "3232235777",
    "192.168.257",
    "0xc0.0250.1",
)
"""Ways of writing an IPv4 address that the C library reads."""


@pytest.mark.parametrize("text", FORBIDDEN)
def test_what_nothing_is_sent_to(text: str) -> None:
    assert not is_public(ip_address(text))
    assert chosen([text], ()) is None
    assert chosen([f"{text}%eth0"], ()) is None


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public(text: str) -> None:
    assert is_public(ip_address(text))
    assert chosen([text], ()) == str(ip_address(text))


@pytest.mark.parametrize("host", HOSTS)
def test_hosts_that_are_numbers(host: str) -> None:
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)]
    assert found
    assert chosen(found, ()) is None


def test_the_lists_are_long_enough_and_name_nothing_twice() -> None:
    assert len(FORBIDDEN + HOSTS) >= 60
    assert len({*FORBIDDEN, *HOSTS, *PUBLIC}) == len(FORBIDDEN + HOSTS + PUBLIC)


@pytest.mark.parametrize("private", ["127.0.0.1", "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:169.254.169.254"])
def test_a_name_that_leads_to_both_is_a_trap(private: str) -> None:
    assert chosen(["8.8.8.8", private], ()) is None
    assert chosen([private, "8.8.8.8"], ()) is None
    assert chosen(["8.8.8.8", "2001:4860:4860::8888", private], ()) is None
    assert chosen(["8.8.8.8", "1.1.1.1"], ()) == "8.8.8.8"


def test_addresses_in_turn() -> None:
    found = ["2001:4860:4860::8888", "2606:4700:4700::1111", "2001:4860:4860::8888", "8.8.8.8", "1.1.1.1", "9.9.9.9"]
    assert in_turn(found, ()) == [found[0], "8.8.8.8", found[1], "1.1.1.1", "9.9.9.9"]
    assert in_turn(found[::-1], ())[:3] == ["9.9.9.9", found[0], "1.1.1.1"]
    assert in_turn([*found, "10.0.0.1"], ()) == []


def test_a_name_that_leads_nowhere() -> None:
    assert chosen([], networks("0.0.0.0/0")) is None


def test_an_operators_exceptions() -> None:
    own = networks(" 10.1.0.0/16, fd00::/8 ,")
    assert allowed(ip_address("10.1.2.3"), own)
    assert allowed(ip_address("fd00:ec2::1"), own)
    assert allowed(ip_address("8.8.8.8"), own)
    for text in ("10.2.0.1", "127.0.0.1", "fc00::1", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::"):
        assert not allowed(ip_address(text), own), text
    assert chosen(["10.1.2.3", "10.2.0.1"], own) is None
    assert chosen(["10.1.2.3", "8.8.8.8"], iter(own)) == "10.1.2.3"


def test_only_an_operators_exceptions() -> None:
    own = networks("10.1.0.0/16")
    assert chosen(["10.1.2.3"], own, public=False) == "10.1.2.3"
    assert chosen(["8.8.8.8"], own, public=False) is None
    assert chosen(["10.1.2.3", "8.8.8.8"], own, public=False) is None


def test_networks_as_an_operator_writes_them() -> None:
    assert networks("") == networks(" , ") == ()
    assert [str(one) for one in networks("10.0.0.7/8,::1")] == ["10.0.0.0/8", "::1/128"]
    for wrong in ("10.0.0.0/33", "localhost", "10.0.0.0-10.0.0.9", "*"):
        with pytest.raises(ValueError, match=r".+"):
            networks(wrong)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_one_is_no_more_public_than_itself(address: object) -> None:
    number = int(address)  # type: ignore[call-overload]
    inside = (
        (0xFFFF << 32) | number,
        (0x64FF9B << 96) | number,
        (0x2002 << 112) | (number << 80) | 1,
        (0x64FF9B0001 << 80) | number,
        number,
    )
    public = is_public(address)  # type: ignore[arg-type]
    for one in inside:
        assert public or not is_public(ip_address(one.to_bytes(16, "big")))
