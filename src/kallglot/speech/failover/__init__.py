"""Falling back: several engines, in order of preference, as one that does not fail while any of them works."""
