"""Format 2: the YAML job (`job: {name, input, prompts, output, ...}`): prompts in sequence, or a graph of steps.

Precedence of what reaches the model, weakest first: the library prompt, `job.model`, the prompt, then `--model`;
`documents.composing` put the stack, the profile and `--param` in before. A prompt with `text` or `messages` is written
in line; one without is the library's prompt of that name and `version`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from llm_jobs.documents.checks import NO_TABLE, Checks
from llm_jobs.documents.choices import Choices, per_model
from llm_jobs.documents.composing import compose
from llm_jobs.documents.formats.asking import Stating, models_named, models_of, prompts_of
from llm_jobs.documents.formats.policies import policy_of
from llm_jobs.documents.formats.steps import StepParser
from llm_jobs.documents.input_checks import table_of
from llm_jobs.documents.job import Policy
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.models import JobDocument, JobModel
from llm_jobs.documents.parsed import (
    LibraryRef,
    ParsedCompound,
    ParsedDocument,
    ParsedInput,
    ParsedPrompt,
    ParsedStep,
    ParsedTask,
    every_step,
)
from llm_jobs.documents.step_models import PromptModel
from llm_jobs.documents.steps import Message
from llm_jobs.documents.text import KeyPath, Source
from llm_jobs.documents.validation import did_you_mean, raise_if_any, validate
from llm_jobs.documents.variables import Variables


def parse(source: Source, choices: Choices) -> list[ParsedDocument]:
    """The document once per chosen model. Raises DocumentError with every problem found."""
    composed = compose(source, choices)
    source, choices = composed.source, composed.choices
    variables = Variables(choices.variables, choices.environment)
    value = variables.fill(source)
    document, problems = validate(JobDocument, source, value)
    if document is None or variables.problems or composed.profile_problems:
        raise_if_any([*variables.problems, *problems, *composed.profile_problems])
    assert document is not None
    parser = _JobParser(source, document.job, choices)
    parsed = parser.parse(variables.used)
    raise_if_any(parser.checks.problems)
    return per_model(parsed, choices.models)


class _JobParser:
    def __init__(self, source: Source, job: JobModel, choices: Choices) -> None:
        self.checks = Checks(source)
        self.job = job
        self.choices = choices

    def parse(self, variables: Mapping[str, str]) -> ParsedDocument:
        job = self.job
        steps = tuple(self._with_model(step) for step in StepParser(self.checks, self._prompt).steps(job))
        self._check_names(steps)
        table = self._table()
        self.checks.columns(table, [step.name for step in steps if isinstance(step, ParsedPrompt)])
        policy, notes = policy_of(job, self.checks)
        self._check_fallbacks(steps, policy)
        self._check_caches(steps)
        epoch = self.choices.epoch if self.choices.epoch is not None else job.epoch
        return ParsedDocument(
            format="job",
            name=job.name,
            steps=steps,
            input=table,
            policy=policy,
            sample=job.sample,
            epoch=epoch,
            variables=dict(variables),
            notes=notes,
            source=self.checks.source,
        )

    def _with_model(self, step: ParsedStep) -> ParsedStep:
        """Tasks with the job's model, for those that ask one."""
        if isinstance(step, ParsedCompound):
            return replace(step, steps=tuple(self._with_model(inner) for inner in step.steps))
        if not isinstance(step, ParsedTask):
            return step
        model, choice = models_of(((self.job, ("job",)),), Checks(self.checks.source))
        return replace(step, model=model, choice=choice)

    def _prompt(self, prompt: PromptModel, at: KeyPath) -> ParsedPrompt:
        checks = self.checks
        checks.column(prompt.name, (*at, "name"))
        messages = self._messages(prompt, at)
        model, choice = models_of(((self.job, ("job",)), (prompt, at)), checks)
        if choice is not None:
            self._check_choice(prompt, at)
        is_named = model is not None or bool(getattr(prompt, "for_each_model", None)) or bool(self.choices.models)
        if messages is not None and not is_named:
            self._refuse_without_model(at)
        return ParsedPrompt(
            name=prompt.name,
            model=model,
            choice=choice,
            messages=messages,
            library=None if messages else LibraryRef(name=prompt.name, version=prompt.version),
            parameters=self._parameters(prompt, at),
            schema=prompt.answer_schema,
            native=prompt.native,
            operation=prompt.operation,
            endpoint=checks.endpoint(prompt.endpoint, (*at, "endpoint")),
            api_key=checks.api_key(prompt.api_key, (*at, "api_key")),
            purpose=prompt.purpose,
            at=at,
        )

    def _check_choice(self, prompt: PromptModel, at: KeyPath) -> None:
        for key in ("endpoint", "api_key"):
            if getattr(prompt, key) is not None:
                self.checks.refuse(
                    (*at, key),
                    f"{key} is said of a prompt that several models may answer",
                    rule="an endpoint and its key belong to one model",
                    remedy="name each model with its base_url and key in models.yaml",
                )

    def _refuse_without_model(self, at: KeyPath) -> None:
        self.checks.refuse(
            at,
            "no model is named for this prompt",
            rule="a prompt in line has no model of its own",
            remedy="write `model:` in the prompt or in the job, or give --model",
        )

    def _messages(self, prompt: PromptModel, at: KeyPath) -> tuple[Message, ...] | None:
        """The messages of a prompt in line; None for one of the library."""
        if prompt.text is None and prompt.messages is None:
            return None
        if prompt.text is not None and prompt.messages is not None:
            self._refuse_second(at, "messages", "the prompt is written twice: text and messages")
        if prompt.version is not None:
            self._refuse_second(at, "version", "a prompt in line has no version")
        if prompt.text is not None:
            return (Message(role="user", content=prompt.text),)
        assert prompt.messages is not None
        if prompt.operation == "embeddings" and len(prompt.messages) > 1:
            self._refuse_second(at, "messages", "embeddings are made of one text, not of several messages")
        if prompt.operation == "embeddings" and any(each.text is None for each in prompt.messages):
            self._refuse_second(at, "messages", "embeddings are made of one text, not of parts")
        return tuple(message.message() for message in prompt.messages)

    def _refuse_second(self, at: KeyPath, key: str, what: str) -> None:
        self.checks.refuse(
            (*at, key),
            what,
            rule="a prompt is one of: text, messages, or a name and version of the library",
            remedy=f"remove `{key}`, or what contradicts it",
        )

    def _parameters(self, prompt: PromptModel, at: KeyPath) -> dict[str, JsonValue]:
        """The parameters of the prompt; keys of their own join them."""
        for key in ("temperature", "max_tokens"):
            if getattr(prompt, key) is not None and key in prompt.parameters:
                self.checks.refuse(
                    (*at, "parameters", key),
                    f"{key} is said twice, here and in the prompt",
                    rule="each parameter is said once",
                    remedy="remove one of the two",
                )
        self.checks.parameters(prompt.parameters, (*at, "parameters"))
        own = {key: getattr(prompt, key) for key in ("temperature", "max_tokens")}
        return {**prompt.parameters, **{key: value for key, value in own.items() if value is not None}}

    def _table(self) -> ParsedInput:
        if self.choices.input_override is not None:
            return override_table(self.choices.input_override, self.checks)
        return table_of(self.job.input, ("job", "input"), self.checks) or NO_TABLE

    def _check_names(self, steps: tuple[ParsedStep, ...]) -> None:
        seen: set[str] = set()
        for step in every_step(steps):
            if step.name in seen:
                self.checks.refuse(
                    (*step.at, "name"),
                    f"a second prompt is named {step.name!r}",
                    rule="each prompt's answers are a column of their own",
                    remedy="rename one of the two",
                )
            seen.add(step.name)

    def _check_fallbacks(self, steps: tuple[ParsedStep, ...], policy: Policy) -> None:
        """`fallback` as a rule needs a list. `--model` leaves none, and the rule then does nothing."""
        for step in every_step(steps):
            if not isinstance(step, ParsedPrompt):
                continue
            rules = [rule for rules in policy.on_status.get(step.name, {}).values() for rule in rules]
            listed = step.choice is not None and step.choice.kind == "fallback"
            if not listed and any(rule.action == "fallback" for rule in rules):
                self.checks.refuse(
                    (*step.at, "name"),
                    f"the rule fallback is said of the prompt {step.name}, which has no list of models",
                    rule="fallback asks the next model of a list",
                    remedy="write `fallback: [first, second]` in the prompt, or the rule `model: NAME`",
                )

    def _check_caches(self, steps: tuple[ParsedStep, ...]) -> None:
        """A model that `cache` excepts is one that the job asks. `--model` names others, and so may the library."""
        asked = set(models_named(self.job, steps))
        if self.choices.models or any(isinstance(step, ParsedPrompt) and step.library for step in every_step(steps)):
            return
        levels: list[tuple[Stating, KeyPath]] = [(self.job, ("job",)), *prompts_of(self.job)]
        for level, at in levels:
            for index, each in enumerate((level.cache and level.cache.but) or ()):
                if each.model not in asked:
                    self.checks.refuse(
                        (*at, "cache", "except", index, "model"),
                        f"no step asks the model {each.model!r}",
                        value=each.model,
                        rule=f"a model that is asked: {', '.join(sorted(asked))}",
                        remedy=did_you_mean(each.model, asked, otherwise="name one of these, or leave it out"),
                    )


def override_table(path: str, checks: Checks) -> ParsedInput:
    """The file of `--input`."""
    return ParsedInput(kind="file", path=path, format=checks.format_of(path, ()), beside="working_directory")
