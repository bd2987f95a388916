"""Who uses the server: organisations, their API keys and plans."""
