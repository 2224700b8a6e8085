"""Where code that is not ours runs: subprocesses, bounded in time, output and what they see."""
