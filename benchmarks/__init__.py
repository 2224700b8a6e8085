"""How fast the caller is beside the bare loop and its peers. `python -m benchmarks`; see README.md."""
