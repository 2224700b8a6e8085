"""Orchestration, on real Dagster instances."""
