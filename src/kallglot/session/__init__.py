"""The live session. Knows no HTTP, no SQL and no carrier."""
