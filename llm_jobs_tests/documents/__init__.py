"""Documents: text, formats, parsed values, identity."""
