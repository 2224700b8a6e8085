"""Ways to reach models: one file per provider, one contract (`base.py`), and the catalogue of models."""
