"""Which addresses a URL of somebody else's may lead to.

``ipaddress.is_global`` lets through NAT64 and 6to4 forms of private addresses, multicast and site-local ones, so that
it is not asked alone. RFC 6890 (special addresses), RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import zip_longest
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64: Final = IPv6Network("64:ff9b::/96")
_NEVER: Final[tuple[Network, ...]] = (
    *map(IPv4Network, ("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4")),
    *map(IPv6Network, ("::/96", "fec0::/10", "2001:2::/48", "2001:10::/28", "2001:20::/28", "100::/64", "5f00::/16")),
    # A site's own NAT64, whose IPv4 address may be anywhere in it (RFC 8215); documentation (RFC 9637).
    *map(IPv6Network, ("64:ff9b:1::/48", "3fff::/20")),
    # Azure's metadata, public by its looks.
    IPv4Network("168.63.129.16/32"),
)


def networks(text: str) -> tuple[Network, ...]:
    """``10.0.0.0/8, fd00::/8`` as an operator writes it. Raises ``ValueError``."""
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return all(map(is_public, address.teredo))
        if address.is_site_local:
            return False
    never = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    if never or address.is_link_local or address.is_private or not address.is_global:
        return False
    return not any(address.version == network.version and address in network for network in _NEVER)


def allowed(address: Address, exceptions: Iterable[Network]) -> bool:
    """``exceptions`` are an operator's own networks."""
    return is_public(address) or _excepted(address, exceptions)


def chosen(found: Sequence[str], exceptions: Iterable[Network], *, public: bool = True) -> str | None:
    """The first of :func:`in_turn`; None where there is none."""
    return next(iter(in_turn(found, exceptions, public=public)), None)


def in_turn(found: Sequence[str], exceptions: Iterable[Network], *, public: bool = True) -> list[str]:
    """The addresses to connect to, one after the other, of those that a name leads to: IPv6 and IPv4 by turns, as only
    one of them may work (RFC 8305, 4). No one where any is forbidden: a name that leads to both is a trap.
    ``public`` False: to the exceptions only."""
    exceptions = tuple(exceptions)
    may = allowed if public else _excepted
    addresses = list(dict.fromkeys(ip_address(text.partition("%")[0]) for text in found))
    if not all(may(address, exceptions) for address in addresses):
        return []
    like_the_first = [one for one in addresses if one.version == addresses[0].version]
    others = [one for one in addresses if one.version != addresses[0].version]
    pairs = zip_longest(like_the_first, others)
    return [str(one) for pair in pairs for one in pair if one is not None]


def _excepted(address: Address, exceptions: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in exceptions)
