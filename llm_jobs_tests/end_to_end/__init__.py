"""Whole jobs, against real servers, in real processes."""
