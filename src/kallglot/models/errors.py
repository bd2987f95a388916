"""What can go wrong with models, in words for the operator."""

from __future__ import annotations


class ModelsError(Exception):
    """A command about models cannot be done. The message says why and, where there is something, what to do."""


class DownloadError(ModelsError):
    """A file could not be fetched."""


class WrongContent(DownloadError):
    """A file was fetched whole and is not what it should be."""


class ArchiveError(ModelsError):
    """An archive is damaged, or holds what no model's archive should."""
