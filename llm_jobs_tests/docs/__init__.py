"""Tests of what a reader is told: the README, the documents in docs/, the picture."""
