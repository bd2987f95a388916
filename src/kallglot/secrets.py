"""The one secret everything else is derived from: kept in the data folder, or given by a setting."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def load_master(given: str | None, data_dir: Path) -> bytes:
    """The given secret, else that of ``secret.key`` in the data folder, made on first use and readable by its owner.

    Raises ``ValueError`` for a secret that is too short to be one.
    """
    if given is not None:
        if len(given) < 32:
            raise ValueError("KALLGLOT_SECRET_KEY needs at least 32 characters")
        return given.encode()
    path = data_dir / "secret.key"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes().strip()
    with os.fdopen(handle, "wb") as file:
        master = secrets.token_urlsafe(48).encode()
        file.write(master)
    return master


def derive(master: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose (HKDF, RFC 5869): keys for different purposes say nothing about each other."""
    return HKDF(SHA256(), 32, salt=None, info=f"kallglot {purpose}".encode()).derive(master)


def cipher(master: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(derive(master, "stored secrets")))
