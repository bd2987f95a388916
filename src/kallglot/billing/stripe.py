"""Stripe's webhook events: whether they are genuine, and what they say. Both shapes of its API are read, the one before
and the one after 2025-03-31 ("basil"), which moved periods to the items and subscriptions to ``parent``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from kallglot.accounts.credits import LARGEST_GRANT
from kallglot.accounts.plans import plan_names
from kallglot.billing.notices import Notice

PROVIDER: Final = "stripe"
TOLERANCE_SECONDS: Final = 300
_LATEST: Final = 253_402_300_799
"""The last second of the year 9999."""
_ID: Final = re.compile(r"[A-Za-z0-9_]{1,80}")
_ORGANIZATION: Final = re.compile(r"org_[A-Za-z0-9]{1,36}")
_CHECKOUTS: Final = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
_SUBSCRIPTIONS: Final = tuple(f"customer.subscription.{what}" for what in ("created", "updated", "deleted"))
_INVOICES: Final = ("invoice.paid",)


class PaymentsUnavailable(Exception):
    """What is wrong with the settings, or missing."""


class NotGenuine(Exception):
    pass


class StripeHook:
    """``secret`` is the webhook endpoint's signing secret; ``plans`` says which price is which plan.

    Raises :class:`PaymentsUnavailable` where the ``stripe`` package is not installed.
    """

    def __init__(self, secret: str, plans: Mapping[str, str]) -> None:
        self.plans = plans
        self._secret = secret
        self._verify, self._refusal = _sdk()

    def read(self, body: bytes, signature: str | None) -> Notice | None:
        """None for an event of a type that changes nothing here. Raises :class:`NotGenuine`, and ``ValueError`` for
        what is not an event."""
        if signature is not None and not signature.isascii():
            raise NotGenuine
        try:
            self._verify(body, signature, self._secret, TOLERANCE_SECONDS)
        except (self._refusal, UnicodeDecodeError):
            raise NotGenuine from None
        try:
            return notice_of(json.loads(body))
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _sdk() -> tuple[Callable[[bytes, str | None, str, int], object], type[Exception]]:
    try:
        from stripe import SignatureVerificationError, WebhookSignature
    except ImportError:
        raise PaymentsUnavailable(
            "KALLGLOT_STRIPE_WEBHOOK_SECRET is set, but the package stripe is not installed: pip install"
            " 'kallglot[stripe]', then restart."
        ) from None
    verify = cast("Callable[[bytes, str | None, str, int], object]", WebhookSignature.verify_header)  # pyright: ignore[reportUnknownMemberType]
    return verify, SignatureVerificationError


def read_plans(setting: str) -> dict[str, str]:
    """``price_x=pro,price_y=starter``, by price. Raises :class:`PaymentsUnavailable`."""
    plans: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in setting.split(","))):
        price, _, plan = (piece.strip() for piece in part.partition("="))
        if not _ID.fullmatch(price) or plan not in plan_names():
            expected = f"expected price=plan, with a plan of {', '.join(plan_names())}"
            raise PaymentsUnavailable(f"KALLGLOT_STRIPE_PLANS: {expected}; got {part!r}.")
        plans[price] = plan
    return plans


def open_stripe(secret: str | None, plans: str) -> StripeHook | None:
    """None where no secret is set. Raises :class:`PaymentsUnavailable`."""
    known = read_plans(plans)
    if not secret:
        if known:
            raise PaymentsUnavailable("KALLGLOT_STRIPE_PLANS is set, but KALLGLOT_STRIPE_WEBHOOK_SECRET is not.")
        return None
    return StripeHook(secret, known)


def notice_of(event: Any) -> Notice | None:
    """Raises ``ValueError`` for what is not an event of Stripe's."""
    found = _mapping(event)
    kind = found.get("type")
    if kind not in (*_CHECKOUTS, *_SUBSCRIPTIONS, *_INVOICES):
        if not isinstance(kind, str):
            raise ValueError("an event has a type")
        return None
    thing = _mapping(_mapping(found.get("data")).get("object"))
    common: dict[str, Any] = {
        "id": _required(found.get("id"), "id"),
        "type": kind,
        "created": _seconds(found.get("created")),
        "reference": _required(thing.get("id"), "data.object.id"),
        "customer": _reference(thing.get("customer")),
    }
    if kind in _CHECKOUTS:
        return _checkout(thing, common)
    if kind in _SUBSCRIPTIONS:
        return _subscription(thing, common)
    return _invoice(thing, common)


def _checkout(thing: Mapping[str, Any], common: dict[str, Any]) -> Notice:
    return Notice(
        **common,
        kind="checkout",
        organization_id=_named(thing) or _organization(thing.get("client_reference_id")),
        vouched=_named(thing) is not None,
        subscribes=thing.get("mode") == "subscription",
        subscription_id=_reference(thing.get("subscription")),
        paid=thing.get("mode") == "payment" and thing.get("payment_status") in ("paid", "no_payment_required"),
        credits=_credits(_mapping(thing.get("metadata")).get("credits")),
    )


def _subscription(thing: Mapping[str, Any], common: dict[str, Any]) -> Notice:
    return Notice(
        **common,
        kind="subscription",
        organization_id=_named(thing),
        vouched=_named(thing) is not None,
        subscription_id=common["reference"],
        subscription_created=_seconds(thing.get("created")),
        state=_required(thing.get("status"), "data.object.status")[:20],
        prices=tuple(_prices(_items(thing.get("items")))),
    )


def _invoice(thing: Mapping[str, Any], common: dict[str, Any]) -> Notice:
    """The period is that of the newest lines that a subscription made and that correct no earlier one: an invoice's own
    ``period_start`` looks back."""
    details = _mapping(_mapping(thing.get("parent")).get("subscription_details") or thing.get("subscription_details"))
    lines = [line for line in _items(thing.get("lines")) if _renews(line)]
    periods = [(_seconds(period.get("start")), _seconds(period.get("end"))) for period in map(_period, lines)]
    newest = max(periods, default=None)
    of_newest = [line for line, period in zip(lines, periods, strict=True) if period == newest]
    named = _named(details) or _named(thing)
    return Notice(
        **common,
        kind="invoice",
        organization_id=named,
        vouched=named is not None,
        subscription_id=_reference(details.get("subscription")) or _reference(thing.get("subscription")),
        prices=tuple(_prices(of_newest)),
        period_start=None if newest is None else newest[0],
        period_end=None if newest is None else newest[1],
    )


def _period(line: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(line.get("period"))


def _renews(line: Mapping[str, Any]) -> bool:
    parent = _mapping(line.get("parent"))
    item = parent.get("subscription_item_details")
    if item is not None:
        return not _mapping(item).get("proration")
    return line.get("type") == "subscription" and not line.get("proration")


def _prices(lines: list[Mapping[str, Any]]) -> Iterator[str]:
    for line in lines:
        details = _mapping(_mapping(line.get("pricing")).get("price_details"))
        price = _reference(details.get("price")) or _reference(line.get("price"))
        if price is not None:
            yield price


def _items(value: Any) -> list[Mapping[str, Any]]:
    data: Any = _mapping(value).get("data") or []
    if not isinstance(data, list):
        raise ValueError("a list has data")
    return [_mapping(one) for one in cast("list[Any]", data)]


def _mapping(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {type(value).__name__}")
    return cast("dict[str, Any]", value)


def _reference(value: Any) -> str | None:
    """The id of an object, also where the object itself is there."""
    if isinstance(value, dict):
        value = cast("dict[str, Any]", value).get("id")
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _required(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError(f"{name} is missing")
    return value


def _seconds(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LATEST:
        raise ValueError("expected a time in Unix seconds")
    return value


def _named(thing: Mapping[str, Any]) -> str | None:
    return _organization(_mapping(thing.get("metadata")).get("organization_id"))


def _organization(value: Any) -> str | None:
    return value if isinstance(value, str) and _ORGANIZATION.fullmatch(value) else None


def _credits(value: Any) -> int | None:
    """Metadata holds text."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,9}", value):
        return None
    return int(value) if 0 < int(value) <= LARGEST_GRANT else None
