"""Kallglot: a self-hosted voice session server."""
