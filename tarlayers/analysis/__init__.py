"""Floor 5: one question a module; which may ask another is said in the table of the package."""
