"""The step graph: how a job's steps become tables one after the other, and a plan for the rows of each."""
