"""Floor 4: layers unpacked and laid on one another, as engines do it."""
