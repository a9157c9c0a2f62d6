"""Commands that print the figures this project claims; each says how in its own text."""
