"""What an engine is, which one serves a language, and the processes that local models run in."""
