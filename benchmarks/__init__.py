"""Commands that reproduce the published figures; each module's docstring describes the method."""
