"""Telling customers' servers, and asking them: at addresses that they name, and that nobody here trusts."""
