"""Kallglot: a self-hosted voice session server."""

VERSION = "0.1.0"
