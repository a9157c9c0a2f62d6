"""The version's only home: pyproject.toml and CMake read it from here."""

__version__ = "0.1.0"
