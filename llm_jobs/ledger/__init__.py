"""Attempts, answers and claims: the append-only record of every call, on SQLite or PostgreSQL."""
