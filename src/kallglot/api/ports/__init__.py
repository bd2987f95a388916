"""What the API needs to keep and to command, declared by its user; ``store`` keeps, ``app.py`` hands it in."""
