"""What a payment provider tells, in our words, and what of it is so old that it changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from kallglot.accounts.credits import Period
from kallglot.accounts.model import Organization, OrganizationStatus

Kind = Literal["checkout", "subscription", "invoice"]

WORKS: Final = ("active", "trialing", "past_due")
ENDED: Final = ("canceled", "incomplete_expired")
UNPAID: Final = ("incomplete", "incomplete_expired")
"""Of a subscription that never worked: its first payment is under way, or was never made."""
STATUS_OF: Final[dict[str, OrganizationStatus]] = {
    **dict.fromkeys(WORKS, "active"),
    **dict.fromkeys((*ENDED, "unpaid", "paused"), "inactive"),
}
"""What the organisation is while its subscription is so. ``incomplete``, a first payment under way, changes nothing."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One event. Times are Unix seconds; ``organization_id`` is what was written on the object, ``vouched`` where only
    the operator can have written it; ``reference`` the object's own id.

    Of a checkout: whether it ``subscribes``, or ``paid`` and the ``credits`` that were bought. Of a subscription:
    ``state``, and when it was made. Of an invoice: the period that was paid. Of the last two: ``prices``.
    """

    id: str
    type: str
    kind: Kind
    created: int
    reference: str
    customer: str | None = None
    organization_id: str | None = None
    vouched: bool = False
    subscription_id: str | None = None
    subscription_created: int | None = None
    state: str | None = None
    prices: tuple[str, ...] = ()
    period_start: int | None = None
    period_end: int | None = None
    subscribes: bool = False
    paid: bool = False
    credits: int | None = None

    @property
    def created_at(self) -> datetime:
        return datetime.fromtimestamp(self.created, UTC)

    @property
    def subscription_created_at(self) -> datetime | None:
        made = self.subscription_created
        return None if made is None else datetime.fromtimestamp(made, UTC)

    @property
    def period(self) -> Period | None:
        if self.period_start is None or self.period_end is None:
            return None
        return Period(datetime.fromtimestamp(self.period_start, UTC), datetime.fromtimestamp(self.period_end, UTC))

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "prices": list(self.prices)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Notice:
        values: dict[str, Any] = {**document, "prices": tuple(document["prices"])}
        return cls(**values)


def is_known(notice: Notice, organization: Organization) -> bool:
    """Whether it is about the subscription that the organisation is known to have."""
    return notice.subscription_id is not None and notice.subscription_id == organization.payment_subscription


def outdated(notice: Notice, organization: Organization) -> bool:
    """Whether something newer is known of the same subscription. Providers count in seconds: in the same one a creation
    never comes last, and what has ended stays so."""
    last = organization.subscription_changed_at
    if last is None or notice.created_at > last:
        return False
    if notice.created_at < last or notice.type.endswith(".created"):
        return True
    return organization.subscription in ENDED and notice.state not in ENDED


def why_not(notice: Notice, organization: Organization) -> str | None:
    """Why a subscription that is not the known one does not take its place; None where it does.

    One that was made later does, unless it does not work while the known one does. One that was made earlier does where
    the known one works no more, by what is said after that.
    """
    if notice.state in UNPAID:
        return "its first payment was not made"
    if organization.payment_subscription is None:
        return None
    known_works = organization.subscription in WORKS
    if known_works and notice.state not in WORKS:
        return "another subscription works"
    known, made = organization.subscription_created_at, notice.subscription_created_at
    if known is None or (made is not None and made > known):
        return None
    if known_works:
        return "a newer subscription works"
    last = organization.subscription_changed_at
    if notice.state in WORKS and (last is None or notice.created_at > last):
        return None
    return "a newer subscription is known"
