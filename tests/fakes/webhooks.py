"""The requests that a carrier makes to its customers' servers.

Connection overrides as in https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides: 5 s to connect,
15 s to answer and in all, one retry and only where there was no connection, unless the URL's fragment says otherwise.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx

MAX_REDIRECTS = 10

Sign = Callable[[str, Mapping[str, str], bytes], dict[str, str]]
"""Headers from the URL without its fragment, the fields of a form (empty for JSON and for GET) and the body."""


@dataclass(frozen=True, slots=True)
class Overrides:
    connect_s: float = 5.0
    read_s: float = 15.0
    total_s: float = 15.0
    retries: int = 1
    retried: frozenset[str] = frozenset({"ct"})

    @classmethod
    def of(cls, url: str) -> Overrides:
        given = {name: values[-1] for name, values in parse_qs(urlsplit(url).fragment).items()}
        policies = frozenset(given.get("rp", "ct").split(","))
        return cls(
            connect_s=_bounded(given.get("ct"), 100, 10_000, 5000) / 1000,
            read_s=_bounded(given.get("rt"), 100, 15_000, 15_000) / 1000,
            total_s=_bounded(given.get("tt"), 100, 15_000, 15_000) / 1000,
            retries=_bounded(given.get("rc"), 0, 5, 1),
            retried=frozenset({"ct", "rt", "4xx", "5xx"}) if "all" in policies else policies,
        )


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was made, and what came of its last attempt. ``status`` is None where nothing came back; then
    ``failure`` says why: ct (not connected) or rt (no answer)."""

    method: str
    url: str
    fields: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    attempts: int = 1
    status: int | None = None
    content_type: str = ""
    answer: bytes = b""
    failure: str | None = None

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Webhooks:
    """``hosts``: a public origin, as ``https://kallglot.test``, and where it is really served, as a proxy knows."""

    def __init__(self, sign: Sign, *, user_agent: str, hosts: Mapping[str, str], tls: ssl.SSLContext | None) -> None:
        self._sign = sign
        self._user_agent = user_agent
        self._hosts = hosts
        limits = httpx.Limits(max_connections=300, max_keepalive_connections=50)
        self._client = httpx.AsyncClient(limits=limits, verify=tls or True, trust_env=False)
        self.log: list[Request] = []

    async def close(self) -> None:
        await self._client.aclose()

    async def form(
        self, url: str, fields: Mapping[str, str], *, method: str = "POST", redirects: bool = True
    ) -> Request:
        """A form as the carriers send it; with GET the fields go into the query string. Never raises."""
        for _ in range(MAX_REDIRECTS + 1):
            asked = self._queried(url, fields) if method == "GET" else url
            form = {} if method == "GET" else fields
            content = urlencode(form).encode() if form else b""
            kind = "application/x-www-form-urlencoded; charset=UTF-8" if method != "GET" else ""
            request, location = await self._tried(method, asked, form, content, kind, fields)
            if not redirects or location is None:
                return request
            if request.status != 307:
                method = "GET"
            url = urljoin(asked, location)
        return Request(method, url, fields, failure="redirects")

    async def json(self, url: str, body: bytes) -> Request:
        """Redirects are not followed. Never raises."""
        return (await self._tried("POST", url, {}, body, "application/json", {}))[0]

    async def _tried(
        self, method: str, url: str, form: Mapping[str, str], content: bytes, kind: str, fields: Mapping[str, str]
    ) -> tuple[Request, str | None]:
        overrides = Overrides.of(url)
        url = url.partition("#")[0]
        headers = {"User-Agent": self._user_agent, "Accept": "*/*", "I-Twilio-Idempotency-Token": str(uuid.uuid4())}
        if kind:
            headers["Content-Type"] = kind
        headers |= self._sign(url, form, content)
        target, forwarded = through_proxy(url, self._hosts)
        timeout = httpx.Timeout(overrides.read_s, connect=overrides.connect_s)
        give_up_s = asyncio.get_running_loop().time() + overrides.total_s
        location: str | None = None
        done = Request(method, url, fields, content)
        for attempt in range(1, overrides.retries + 2):
            done = Request(method, url, fields, content, attempt)
            try:
                async with asyncio.timeout_at(give_up_s):
                    answer = await self._client.request(
                        method, target, content=content, headers=headers | forwarded, timeout=timeout
                    )
            except (httpx.ConnectError, httpx.ConnectTimeout):
                failure = "ct"
                done = Request(method, url, fields, content, attempt, failure=failure)
            except (httpx.HTTPError, TimeoutError):
                failure = "rt"
                done = Request(method, url, fields, content, attempt, failure=failure)
            else:
                failure = f"{answer.status_code // 100}xx"
                kind_given = answer.headers.get("content-type", "")
                done = Request(method, url, fields, content, attempt, answer.status_code, kind_given, answer.content)
                location = answer.headers.get("location") if answer.is_redirect else None
            if failure not in overrides.retried:
                break
        self.log.append(done)
        return done, location

    @staticmethod
    def _queried(url: str, fields: Mapping[str, str]) -> str:
        plain, _, fragment = url.partition("#")
        joined = f"{plain}{'&' if '?' in plain else '?'}{urlencode(fields)}" if fields else plain
        return f"{joined}#{fragment}" if fragment else joined


def through_proxy(url: str, hosts: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The URL that is dialled in place of a public one, and what a proxy adds to the headers."""
    parts = urlsplit(url)
    secure = {"wss": "https", "ws": "http"}.get(parts.scheme, parts.scheme)
    real = hosts.get(f"{secure}://{parts.netloc}")
    if real is None:
        return url, {}
    origin = urlsplit(real)
    scheme = {"https": "wss", "http": "ws"}[origin.scheme] if parts.scheme in ("ws", "wss") else origin.scheme
    headers = {"Host": parts.netloc, "X-Forwarded-Host": parts.netloc, "X-Forwarded-Proto": secure}
    return parts._replace(scheme=scheme, netloc=origin.netloc, fragment="").geturl(), headers


def _bounded(given: str | None, least: int, most: int, default: int) -> int:
    return min(most, max(least, int(given))) if given is not None and given.isdecimal() else default
