"""What every engine that is reached over the network has in common. Importing it opens nothing and imports no
client."""
