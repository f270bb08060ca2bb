"""Floor 6: any answer to text or JSON. Pure: strings and bytes out."""
