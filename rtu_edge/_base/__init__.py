"""Utilities for all layers, independent of them: errors, validation, closing and forks, files, untrusted input."""
