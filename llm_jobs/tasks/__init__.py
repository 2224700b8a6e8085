"""Step kinds that are not plain prompts: ready text tasks, small computations, whatever is registered."""
