"""Credits, periods and payments."""
