"""What every layer uses and that knows none of them: errors, validation, closing and forks, files, untrusted input."""
