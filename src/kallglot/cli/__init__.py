"""The command line: ``kallglot serve``, ``call``, ``demo``, ``keys``, ``numbers``, ``models``, ``doctor``."""

from kallglot import compiled

compiled.use()

from kallglot.cli.main import app  # noqa: E402

__all__ = ["app"]
