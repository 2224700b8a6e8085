"""The prompt library and rendering."""
