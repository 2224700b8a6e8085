"""Graphs made by chance, the same for the same number: every kind of step, tables within tables of work, conditions."""

from __future__ import annotations

import random
from typing import Any

Step = dict[str, Any]
MODELS = ["simulated", "simulated/small", "simulated/large"]
TEXTS = [
    "Say {{ text }}.",
    'Quote "{{ text }}" \\ and\nagain\n',
    "Grüße {{ text }} 你好",
    "{% if id > 1 %}{{ text }}{% endif %}",
]


class Maker:
    """One graph from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = 0
        self._columns = ["id", "text"]
        self._lists: list[str] = []

    def document(self) -> dict[str, Any]:
        steps: list[Step] = []
        for _ in range(self._random.randint(1, 3)):
            steps += self._table(depth=2)
            if self._random.random() < 0.6:
                steps.append(self._reshaping())
        rows = [{"id": number, "text": f"row {number}\n\nend"} for number in range(1, self._random.randint(2, 4))]
        job: dict[str, Any] = {"name": "made", "model": "simulated", "input": {"rows": rows}, "steps": steps}
        if self._random.random() < 0.2:
            job["sample"] = 2
        return {"job": job}

    def _name(self) -> str:
        self._count += 1
        return f"{self._random.choice(['step', 'a', 'long_name'])}{self._count}"

    def _table(self, depth: int) -> list[Step]:
        """Steps over the rows of one table; each needs some of those before it, or says nothing of that."""
        made: list[Step] = []
        for _ in range(self._random.randint(1, 4)):
            step = self._step(depth)
            names = [str(other["name"]) for other in made]
            if self._random.random() < 0.8:
                some = self._random.sample(names, self._random.randint(0, len(names)))
                step["needs"] = [name for name in names if name in some]
            if "filter" not in step and self._random.random() < 0.15:
                step["when"] = "id > 1 and text is not none"
            made.append(step)
        return made

    def _step(self, depth: int) -> Step:
        kind = self._random.choice(["prompt", "prompt", "task", "filter", "compound", "loop", "first"])
        name = self._name()
        if kind == "task":
            return self._task(name)
        if kind == "filter":
            return {"name": name, "filter": "text != 'x'"}
        if kind == "prompt" or depth == 0:
            return self._prompt(name)
        if kind == "compound":
            return {"name": name, "steps": self._table(depth - 1)}
        if kind == "loop":
            bound = {"at_most": self._random.randint(1, 3), **self._random.choice([{}, {"until": "id > 2"}])}
            return {"name": name, "loop": bound, "steps": self._table(depth - 1)}
        return {"name": name, "first_of": [self._prompt(self._name()) for _ in range(2)]}

    def _prompt(self, name: str) -> Step:
        text = self._random.choice(TEXTS) + f" {{{{ {self._random.choice(self._columns)} }}}}"
        step: Step = {"name": name, "text": text}
        if self._random.random() < 0.3:
            del step["text"]
            step["messages"] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
        step |= self._random.choice(
            [
                {},
                {"model": MODELS[1]},
                {"fallback": MODELS},
                {"models": {MODELS[0]: 3, MODELS[1]: 1}},
                {"temperature": 0.5, "max_tokens": 10},
                {"parameters": {"seed": 7, "stop": ["\n", "END"]}},
            ]
        )
        return step

    def _task(self, name: str) -> Step:
        self._lists = [*self._lists, name]
        return {"name": name, "task": "split_paragraphs", "inputs": {"text": "{{ text }}"}}

    def _reshaping(self) -> Step:
        name = self._name()
        if self._random.random() < 0.5:
            return {"name": name, "for_each": {f"of_{name}": self._random.choice([[1, 2], ["x", "y"], [0.5, 1.5]])}}
        return {"name": name, "text": "Say {{ text }}", "for_each_model": MODELS[:2]}
