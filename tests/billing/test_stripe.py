"""Reading Stripe's events."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.billing import stripes
from tests.billing.stripes import MONTH, NOW, PLANS, SECRET, invoice, line, older_line, signed

from kallglot.billing.notices import Notice
from kallglot.billing.stripe import NotGenuine, PaymentsUnavailable, StripeHook, notice_of, open_stripe, read_plans

LINES = [line, older_line]


def hook() -> StripeHook:
    made = open_stripe(SECRET, PLANS)
    assert made is not None
    return made


def read(event: dict[str, Any]) -> Notice:
    found = hook().read(*signed(event))
    assert found is not None
    assert Notice.of(found.document()) == found
    return found


def test_a_checkout() -> None:
    found = read(stripes.top_up("org_1", "500", customer="cus_9"))
    assert (found.kind, found.organization_id, found.customer) == ("checkout", "org_1", "cus_9")
    assert (found.paid, found.credits, found.reference) == (True, 500, "cs_2")
    assert not read(stripes.top_up("org_1", "500", payment_status="unpaid")).paid
    assert not read(stripes.checkout("org_1")).paid
    assert (found.vouched, found.subscribes) == (False, False)
    for reference in (None, "org_1"):
        named = read(stripes.checkout(reference, metadata={"organization_id": "org_2"}))
        assert (named.organization_id, named.vouched, named.subscribes) == ("org_2", True, True)
    assert read(stripes.checkout("' OR 1=1", customer={"id": "cus_7", "object": "customer"})).organization_id is None


@pytest.mark.parametrize("credits", ["0", "-5", "1.5", "", "1e9", "99999999999", "٣", 500, None, True])
def test_credits_that_are_none(credits: Any) -> None:
    assert read(stripes.top_up("org_1", credits)).credits is None


def test_a_subscription_wherever_its_price_is() -> None:
    found = read(stripes.subscription("updated", "past_due", created=NOW + 5))
    assert (found.state, found.prices, found.subscription_id) == ("past_due", ("price_pro",), "sub_1")
    assert (found.created, found.subscription_created) == (NOW + 5, NOW)
    assert read(stripes.subscription("deleted", "canceled", items=None)).prices == ()


@pytest.mark.parametrize("make", LINES)
def test_an_invoice_pays_the_newest_period_that_is_no_correction(make: Any) -> None:
    lines = [
        make(NOW - MONTH, NOW, "price_starter"),
        make(NOW, NOW + MONTH),
        make(NOW + 9, NOW + 2 * MONTH, "price_starter", proration=True),
    ]
    found = read(invoice(NOW, NOW, *lines))
    assert (found.period_start, found.period_end, found.prices) == (NOW, NOW + MONTH, ("price_pro",))
    assert found.subscription_id == "sub_1"
    only_corrections = read(invoice(NOW, NOW, make(NOW, NOW + MONTH, proration=True)))
    assert (only_corrections.period, only_corrections.prices) == (None, ())


def test_an_invoice_of_before_basil() -> None:
    older = invoice(NOW, NOW, older_line(NOW, NOW + MONTH), parent=None, subscription="sub_1")
    older["data"]["object"] |= {
        "subscription": "sub_1",
        "subscription_details": {"metadata": {"organization_id": "org_3"}},
    }
    found = read(older)
    assert (found.subscription_id, found.organization_id) == ("sub_1", "org_3")
    assert found.period is not None


def test_events_that_nothing_depends_on() -> None:
    assert hook().read(*signed(stripes.event("charge.refunded", {"id": "ch_1"}))) is None


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        "x",
        {},
        {"type": "invoice.paid"},
        stripes.event("invoice.paid", {}),
        stripes.event("customer.subscription.updated", {"id": "sub_1"}),
        stripes.subscription("updated", "active", created=-1),
        stripes.subscription("updated", "active", created=10**20),
        stripes.subscription("updated", "active", items={"data": "all"}),
        stripes.checkout("org_1", id="x" * 81),
        stripes.event("invoice.paid", {"id": "in_1", "lines": {"data": [[]]}}),
    ],
)
def test_what_is_no_event(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        notice_of(wrong)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "data", "period"]), inner),
    max_leaves=6,
)


@given(
    st.sampled_from(["checkout.session.completed", "customer.subscription.created", "invoice.paid"]),
    st.dictionaries(
        st.sampled_from("id customer status items lines metadata parent mode client_reference_id".split()), JSON
    ),
)
def test_whatever_comes_is_a_notice_or_refused(type: str, thing: dict[str, Any]) -> None:
    try:
        found = notice_of(stripes.event(type, thing))
    except ValueError:
        return
    assert found is not None
    assert Notice.of(found.document()) == found


def test_only_what_is_signed_now_and_by_us_is_read() -> None:
    body, signature = signed(stripes.checkout("org_1"))
    assert hook().read(body, signature) is not None
    now = int(time.time())
    for wrong in (
        None,
        "",
        "t=1,v1=00",
        signature.replace("v1=", "v0="),
        signature[:-1] + ("0" if signature[-1] != "0" else "1"),
        signed(body, secret="whsec_other")[1],
        signed(body, at=now - 301)[1],
        f"t={now + 1},{signature.split(',')[1]}",
        f"t={now},v1=é",
    ):
        with pytest.raises(NotGenuine):
            hook().read(body, wrong)
    with pytest.raises(NotGenuine):
        hook().read(body + b" ", signature)
    with pytest.raises(NotGenuine):
        hook().read(b"\xff" + body, signature)
    assert hook().read(*signed(body, at=now - 290)) is not None
    with pytest.raises(ValueError, match=r"\w"):
        hook().read(*signed(b"[" * 100_000))
    with pytest.raises(ValueError, match=r"\w"):
        hook().read(*signed(b"{"))


def test_plans() -> None:
    assert read_plans(" price_x = pro ,price_y=starter,") == {"price_x": "pro", "price_y": "starter"}
    assert open_stripe(None, "") is None
    assert open_stripe("", "") is None
    for wrong in ("price_x", "price_x=gold", "=pro", "price x=pro", "price_x=pro=starter"):
        with pytest.raises(PaymentsUnavailable, match="KALLGLOT_STRIPE_PLANS"):
            read_plans(wrong)
    with pytest.raises(PaymentsUnavailable, match="KALLGLOT_STRIPE_WEBHOOK_SECRET is not"):
        open_stripe(None, PLANS)


def test_without_the_package_it_says_what_to_install() -> None:
    """A process of its own, in which the package cannot be imported."""
    program = (
        "import sys; sys.modules['stripe'] = None\n"
        "from kallglot.billing.stripe import PaymentsUnavailable, open_stripe\n"
        "assert open_stripe(None, '') is None\n"
        "try: open_stripe('whsec_x', '')\n"
        "except PaymentsUnavailable as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "kallglot[stripe]" in said
    assert "KALLGLOT_STRIPE_WEBHOOK_SECRET" in said
