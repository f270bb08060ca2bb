"""What other programs say of the same bytes. Skipped where they, or the reference archives, are not here."""
