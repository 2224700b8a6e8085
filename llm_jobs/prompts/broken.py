"""The error of a text that is no template, with the line within the text: where the text stands, its reader knows."""

from __future__ import annotations

from llm_jobs.errors import DocumentError, Problem


class BrokenTemplate(DocumentError):
    """A text that no row could fill. `what`: what is wrong; `line`: on which line of the text, from 1."""

    rule = "prompts are Jinja2 templates without includes"
    remedy = "correct the template, or write braces that are meant as text as {{ '{{' }}"

    def __init__(self, what: str, *, where: str, line: int) -> None:
        """`where` names the text in the message."""
        self.what = what
        self.line = line
        problem = Problem(what=f"{where}, line {line} of its text: {what}", rule=self.rule, remedy=self.remedy)
        super().__init__([problem])
