"""One training, from its request to its end."""
