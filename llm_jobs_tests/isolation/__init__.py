"""Scripts as subprocesses, with real processes."""
