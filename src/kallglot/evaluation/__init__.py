"""How good and how fast the engines of an installation are, measured on recordings and texts with references."""
