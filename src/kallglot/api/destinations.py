"""Where customers may have something sent to."""

from __future__ import annotations

import json

from kallglot.api.services import ApiServices
from kallglot.errors import KallglotError
from kallglot.webhooks import urls


def check(url: str | None, param: str, given: ApiServices) -> None:
    """Raises ``invalid_field_value`` for what nothing would ever be sent to."""
    why = None if url is None else urls.refusal(url, given.webhook_networks)
    if why is not None:
        raise KallglotError("invalid_field_value", f"{param}: {why}, got {json.dumps(url)[:80]}.", param=param)
