"""Engines of one vendor each, over :mod:`kallglot.speech.remote`. Nothing here is imported unless it is configured."""
