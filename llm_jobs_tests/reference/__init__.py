"""The documents that users brought from another system, as they stand, each run with what it names."""
