"""Texts made comparable, as the evaluation has them."""

from kallglot.evaluation.words import normalise

__all__ = ["normalise"]
