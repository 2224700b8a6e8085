"""`python execute.py job.json` is the same as `llm-jobs run job.json`."""

from llm_jobs.cli.main import main

if __name__ == "__main__":
    main("run")
