"""A message per row in the log, passed on as it is."""

from __future__ import annotations

import json
import logging

from llm_jobs.tasks.base import OWN, Surroundings, Task, Values

LOG = logging.getLogger(__name__)
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "log": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class DebugLog(Task):
    """Where the log goes is told by the job's `logging`, and by the one who runs it."""

    name = "debug_log"
    category = "output"
    description = "Writes a message to the log, and passes it on."
    inputs = {"message": {}, "level": {"enum": [*LEVELS], "default": "info"}}
    outputs = {OWN: {}}
    example = {"message": "seen", "level": "debug"}
    fixed = frozenset({"level"})
    side_effects = True

    def run(self, inputs: Values, surroundings: Surroundings) -> Values:
        message = inputs["message"]
        if not surroundings.rehearsal:
            text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
            LOG.log(LEVELS[str(inputs["level"])], "%s", text)
        return {OWN: message}
