"""Providers, against real servers on loopback."""
