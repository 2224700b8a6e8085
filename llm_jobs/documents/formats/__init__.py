"""One file per accepted format; each ends in `parsed.ParsedDocument`. `parsing` chooses among them."""
