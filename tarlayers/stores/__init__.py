"""Floor 3: where an image's blobs are read, and what was read of them before."""
