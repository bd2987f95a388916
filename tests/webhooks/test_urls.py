from __future__ import annotations

import pytest

from kallglot.webhooks.addresses import networks
from kallglot.webhooks.urls import Place, read, refusal

GOOD = [
    "https://example.com",
    "https://example.com/",
    "https://example.com:8443/a?b=c%20d",
    "HTTPS://EXAMPLE.COM:443/",
    "https://xn--exmple-cua.com/",
    "https://a_b.example.com/",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
    "https://example.com./",
    "https://10.example.com/",
]
NO_URL = [
    "",
    "https://",
    "https:///path",
    "https://:443/",
    "example.com",
    "//example.com",
    "mailto:a@example.com",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:x/",
    "https://exa mple.com/",
    "https://example.com/a b",
    "https://example.com/\t",
    "https://example.com/\n",
    "https://example.com\\@10.0.0.1/",
    "https://[::1/",
    "https://[example]/",
    "https://exam%70le.com/",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://@example.com/",
    "https://example.com/#",
    "https://example.com/#part",
    "https://exämple.com/",
    "https://example.com/ü",
    "https://。com/",
]
UNUSUAL = ["http://example.com/", "http://example.com:443/", "https://example.com:8080/", "https://example.com:22/"]
PRIVATE = [
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://127.0.0.1./",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://a.localhost/",
    "https://0.0.0.0/",
    "https://10.1.2.3/",
    "https://169.254.169.254/latest/",
    "https://192.168.0.1:8443/",
    "https://224.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fd00::1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:a00:1::]/",
]


@pytest.mark.parametrize("url", GOOD)
def test_what_may_be_sent_to(url: str) -> None:
    assert refusal(url) is None


@pytest.mark.parametrize("url", NO_URL)
def test_what_is_no_url_for_anybody(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read(url)
    assert refusal(url, networks("0.0.0.0/0, ::/0")) is not None


@pytest.mark.parametrize("url", UNUSUAL)
def test_what_only_an_operators_networks_may_be_asked(url: str) -> None:
    assert "port 443 or 8443" in str(refusal(url))
    # Where the name leads is seen when something is sent.
    assert refusal(url, networks("10.0.0.0/8")) is None


@pytest.mark.parametrize("url", PRIVATE)
def test_addresses_that_nothing_is_sent_to(url: str) -> None:
    assert "public address" in str(refusal(url))
    assert "public address" in str(refusal(url, networks("203.0.113.0/24")))


def test_an_operators_networks() -> None:
    allowed = networks("10.0.0.0/8, fd00::/8")
    for url in ("http://10.1.2.3/", "https://10.1.2.3:9000/", "http://[fd00::1]:81/", "https://8.8.8.8/"):
        assert refusal(url, allowed) is None
    for url in ("http://8.8.8.8/", "https://8.8.8.8:9000/", "https://192.168.0.1/", "http://127.0.0.1/"):
        assert refusal(url, allowed) is not None


def test_what_is_read() -> None:
    assert read("https://Example.com/") == Place("example.com", 443, True)
    assert read("http://[::1]:81/x") == Place("::1", 81, False)
    assert read("http://10.0.0.1") == Place("10.0.0.1", 80, False)
