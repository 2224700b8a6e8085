"""Format 1: the pair `{"configuration": ..., "prompt": ...}`, one prompt and how to ask it.

The prompt is text, a mapping of texts, or a link to a script:

* The texts `prepend`, `base`, the description of dynamic data (`data`, or `data.description`) and `append` are joined
  in this order by one blank line each; absent and empty ones are left out. Together they are one user message.
* `{"script": "name.py", "arguments": [...]}` names a script of the allowed folder that prints the prompt.
* A pair without a table is one row, and its text is literal: `{{` in it is the user's own. With a table
  (`data.input`, or `--input`) the text is a template, filled once per row.

The configuration names the model (`LLM_name` or `model`); `command` names a script that builds the request; `schema`,
`native`, `operation`, `endpoint`, `api_key`, `timeout`, `budget`, `mode`, `on_status` and `priority: hot` or `cold`
mean what they mean in a YAML job. Every other key is a parameter of the request: so are `models` and `fallback`, which
gateways read, and a `priority` that is a number, which vLLM reads. The answers' column is `answer`, and the job is
called like its file: neither may depend on the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from llm_jobs.documents.checks import NO_TABLE, Checks
from llm_jobs.documents.choices import Choices, not_for, overridden, per_model, unknown_parameters
from llm_jobs.documents.formats.asking import rules_of
from llm_jobs.documents.formats.job import override_table
from llm_jobs.documents.formats.policies import budget_of
from llm_jobs.documents.input_checks import table_of
from llm_jobs.documents.job import Policy
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.models import ConfigurationModel, PairDocument, PairPromptModel
from llm_jobs.documents.parsed import ANSWER_COLUMN, ParsedDocument, ParsedInput, ParsedPrompt, ScriptRef
from llm_jobs.documents.steps import Message
from llm_jobs.documents.text import Source
from llm_jobs.documents.validation import nearest, raise_if_any, validate
from llm_jobs.documents.variables import Variables


def parse(source: Source, choices: Choices) -> list[ParsedDocument]:
    """The pair once per chosen model. Raises DocumentError with every problem found."""
    variables = Variables(choices.variables, choices.environment)
    value = variables.fill(source)
    document, problems = validate(PairDocument, source, value)
    problems += not_for(source.file, "pair", choices, ["profile"])
    if document is None or variables.problems or problems:
        raise_if_any([*variables.problems, *problems])
    assert document is not None
    parser = _PairParser(source, document, choices)
    parsed = parser.parse(variables.used)
    raise_if_any(parser.checks.problems)
    return per_model(parsed, choices.models)


class _PairParser:
    def __init__(self, source: Source, document: PairDocument, choices: Choices) -> None:
        self.checks = Checks(source)
        self.configuration: ConfigurationModel = document.configuration
        self.prompt: PairPromptModel = document.prompt
        self.choices = choices

    def parse(self, variables: Mapping[str, str]) -> ParsedDocument:
        configuration, checks = self.configuration, self.checks
        table = self._table()
        step = ParsedPrompt(
            name=ANSWER_COLUMN,
            model=self._model(),
            messages=self._messages(),
            script=self._script(),
            command=self._command(),
            parameters=self._parameters(),
            schema=configuration.answer_schema,
            native=configuration.native,
            operation=configuration.operation,
            templated=table is not None,
            endpoint=checks.endpoint(configuration.endpoint, ("configuration", "endpoint")),
            api_key=checks.api_key(configuration.api_key, ("configuration", "api_key")),
            at=("prompt",),
        )
        if table is not None:
            checks.columns(table, [ANSWER_COLUMN])
        return ParsedDocument(
            format="pair",
            name=PurePath(checks.source.file).stem,
            steps=(step,),
            input=table or NO_TABLE,
            policy=self._policy(),
            epoch=self.choices.epoch,
            variables=dict(variables),
            source=checks.source,
        )

    def _policy(self) -> Policy:
        configuration, default = self.configuration, Policy()
        at = ("configuration", "on_status")
        rules = rules_of(configuration.on_status, at, self.checks)
        if any(rule.action == "fallback" for listed in rules.values() for rule in listed):
            self.checks.refuse(
                at,
                "the rule fallback is said of a prompt that has one model",
                rule="fallback asks the next model of a list, and a pair names one",
                remedy="write the rule `model: NAME`, or a YAML job with `fallback: [first, second]`",
            )
        return Policy(
            timeout_s=default.timeout_s if configuration.timeout is None else configuration.timeout,
            budget=budget_of(configuration.budget),
            mode=configuration.mode,
            priority=configuration.priority if isinstance(configuration.priority, str) else default.priority,
            on_status={ANSWER_COLUMN: rules} if rules else {},
        )

    def _table(self) -> ParsedInput | None:
        if self.choices.input_override is not None:
            return override_table(self.choices.input_override, self.checks)
        model = self.prompt.data.input if self.prompt.data else None
        return table_of(model, ("prompt", "data", "input"), self.checks)

    def _model(self) -> str | None:
        configuration = self.configuration
        if configuration.llm_name is not None and configuration.model is not None:
            self.checks.refuse(
                ("configuration", "model"),
                "the model is named twice, as LLM_name and as model",
                rule="one name",
                remedy="remove one of the two",
            )
        model = configuration.llm_name or configuration.model
        if model is None and not self.choices.models:
            near = nearest("LLM_name", configuration.model_extra or {})
            self.checks.refuse(
                ("configuration", near) if near else ("configuration",),
                "no model is named",
                rule="a configuration names the model under LLM_name (or model)",
                remedy=f"rename {near!r} to 'LLM_name'" if near else "add LLM_name, or give --model",
            )
        return model

    def _parameters(self) -> dict[str, JsonValue]:
        configuration, checks = self.configuration, self.checks
        declared: dict[str, JsonValue] = dict(configuration.model_extra or {})
        if isinstance(configuration.priority, int):
            declared["priority"] = configuration.priority
        checks.parameters(declared, ("configuration",))
        if configuration.temperature is not None:
            declared["temperature"] = configuration.temperature
        checks.problems += unknown_parameters(checks.source.file, declared, self.choices.parameters)
        return overridden(declared, self.choices.parameters)

    def _command(self) -> ScriptRef | None:
        command = self.configuration.command
        if command is None:
            return None
        return self.checks.script(command.script, command.arguments, ("configuration", "command"))

    def _script(self) -> ScriptRef | None:
        if self.prompt.script is None:
            return None
        return self.checks.script(self.prompt.script, self.prompt.arguments, ("prompt", "script"))

    def _messages(self) -> tuple[Message, ...] | None:
        prompt = self.prompt
        description = prompt.data.description if prompt.data else None
        texts = [text for text in (prompt.prepend, prompt.base, description, prompt.append) if text]
        if bool(texts) == (prompt.script is not None):
            what = "a prompt is written beside the script that prints it" if texts else "the prompt is empty"
            self.checks.refuse(
                ("prompt",),
                what,
                rule="a prompt is text (base, prepend, append, data), or a script",
                remedy="remove one of the two" if texts else "write the text, or name a script",
            )
        if prompt.arguments and prompt.script is None:
            self.checks.refuse(
                ("prompt", "arguments"), "arguments without a script", rule="they are a script's", remedy="remove them"
            )
        return (Message(role="user", content="\n\n".join(texts)),) if texts else None
