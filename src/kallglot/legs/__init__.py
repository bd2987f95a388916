"""How audio gets in and out: a sans-IO codec a dialect, under one small socket shell."""
