"""How long things are kept, how they go, and how their owner takes them along."""
