-- Run once by the database's own start-up: the ledger lives apart from Dagster's storage, and outlives it.
CREATE DATABASE llm_jobs;
