"""The command line: ``kallglot serve``, ``call``, ``demo``, ``keys``, ``numbers``, ``models``, ``doctor``."""

from kallglot.cli.main import app

__all__ = ["app"]
