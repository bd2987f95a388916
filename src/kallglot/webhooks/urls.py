"""Which URLs a customer may name: what :class:`~kallglot.webhooks.client.SafeClient` would never send to is refused
while somebody is there to read why. Names are looked up later, whenever something is sent."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from kallglot.webhooks.addresses import Network, chosen

USUAL_PORTS: Final = frozenset((443, 8443))
_VISIBLE: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""Without the backslash, which some take for a slash."""
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]+(%[A-Za-z0-9._~-]+)?")


@dataclass(frozen=True, slots=True)
class Place:
    host: str
    port: int
    tls: bool

    @property
    def usual(self) -> bool:
        return self.tls and self.port in USUAL_PORTS


def read(url: str) -> Place:
    """Raises ``ValueError``, in words for the customer."""
    if not url.isascii():
        raise ValueError("expected an https:// URL in ASCII: a name as punycode (xn--…), the rest percent-encoded")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("expected an https:// URL") from None
    scheme = parts.scheme.lower()
    if scheme not in ("https", "http") or port == 0 or not _VISIBLE.fullmatch(url) or not _HOST.fullmatch(host):
        raise ValueError("expected an https:// URL")
    if "@" in parts.netloc:
        raise ValueError("expected a URL without a user and a password: deliveries are signed instead")
    if "#" in url:
        raise ValueError("expected a URL without a fragment (#…)")
    tls = scheme == "https"
    return Place(host, port if port is not None else 443 if tls else 80, tls)


def refusal(url: str, exceptions: Iterable[Network] = ()) -> str | None:
    """Why nothing would ever be sent there; None where it would. ``exceptions`` are an operator's own networks: to them
    http and any port may be used too."""
    try:
        place = read(url)
    except ValueError as error:
        return str(error)
    exceptions = tuple(exceptions)
    if not place.usual and not exceptions:
        return "expected an https:// URL, on port 443 or 8443"
    address = _literal(place.host)
    if address is None or chosen([address], exceptions, public=place.usual) is not None:
        return None
    if chosen([address], exceptions) is not None:
        return "expected an https:// URL, on port 443 or 8443"
    return "expected a public address: nothing is sent to private, loopback and other special ones"


def _literal(host: str) -> str | None:
    """The address, where the host is one by itself: also as ``127.1``, ``0x7f000001`` and what else resolvers take."""
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
