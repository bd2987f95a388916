"""How many calls one core carries, here and elsewhere: see README.md."""
