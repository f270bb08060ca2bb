"""Floor 1: bytes in, values out. Nothing here opens a file or knows the time."""
