"""Floor 5: one question a module; none imports another."""
