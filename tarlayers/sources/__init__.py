"""Floor 2: where bytes live, and which of them make which image."""
