"""What requests about calls may hold."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, StringConstraints

from kallglot.api.models import PhoneNumber, Short
from kallglot.api.models import Request as Body

Digits = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[0-9A-Da-d*#wW]+$")]


class Dial(Body):
    to: PhoneNumber
    from_: Annotated[PhoneNumber | None, Field(alias="from")] = None
    participant: Short | None = None
    timeout_seconds: Annotated[int, Field(ge=5, le=600)] = 60
    send_digits: Digits | None = None
    machine_detection: bool = False


class Transfer(Body):
    """``blind``: whoever is on the call is connected with ``to`` by the carrier. ``warm``: ``to`` is called into the
    session as the same participant, and the call goes on until it is hung up."""

    to: PhoneNumber
    type: Literal["blind", "warm"] = "blind"
    from_: Annotated[PhoneNumber | None, Field(alias="from")] = None
    timeout_seconds: Annotated[int, Field(ge=5, le=600)] = 30


class SendDigits(Body):
    digits: Digits


MODELS: Final[tuple[type[BaseModel], ...]] = (Dial, Transfer, SendDigits)
