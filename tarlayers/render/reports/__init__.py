"""Reports of `check`, a module a format; each is a function from a CheckReport to text."""
