"""What Prometheus reads: taken from the live objects when it asks, so nothing is counted on the media path."""

from kallglot.metrics.exposition import exposition, install
from kallglot.metrics.requests import Requests
from kallglot.metrics.snapshot import Sources
from kallglot.metrics.stored import Stored
from kallglot.metrics.turns import TurnLags
from kallglot.metrics.works import Works

__all__ = ["Requests", "Sources", "Stored", "TurnLags", "Works", "exposition", "install"]
