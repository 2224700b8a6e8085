"""Tasks that are prompts: generation, questions, rewriting, summaries, translations, embeddings.

Each is a short prompt with the inputs in it, so that a job says what it wants and not how to ask for it. What the
model receives is in the job's identity like any other prompt: `version` says which wording it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.tasks.base import OWN, PromptTask, Schema, Values

TEXT: Schema = {"type": "string"}
ONLY = "Answer with it alone: no introduction, no comment, no quotation marks around it."


class TextGeneration(PromptTask):
    name = "text_generation"
    aliases = ("generate_text",)
    description = "What a model answers to a prompt."
    inputs = {"prompt": TEXT}
    example = {"prompt": "Name three rivers."}

    def asked(self, inputs: Values) -> tuple[Message, ...]:
        return (_user(_text(inputs["prompt"])),)


class TextQuestionAnswer(PromptTask):
    name = "text_question_answer"
    aliases = ("question_answer", "text_question_answering")
    description = "The answer to a question that a context gives."
    inputs = {"question": TEXT, "context": TEXT}
    example = {"question": "Where is the mat?", "context": "The mat is in the hall."}

    def asked(self, inputs: Values) -> tuple[Message, ...]:
        how = (
            "Answer the question from the context alone, as briefly as you can. "
            "Where the context does not tell, answer: not stated."
        )
        return _system(how), _user(f"{_part('context', inputs)}\n\n{_part('question', inputs)}")


class TextRewriter(PromptTask):
    name = "text_rewriter"
    aliases = ("rewrite_text", "text_rewrite")
    description = "A text, rewritten as a prompt says."
    inputs = {"prompt": TEXT, "text": TEXT}
    example = {"prompt": "Make it polite.", "text": "Go away."}

    def asked(self, inputs: Values) -> tuple[Message, ...]:
        how = f"Rewrite the text as the instruction says. {ONLY}"
        instruction = _part("instruction", {"instruction": inputs["prompt"]})
        return _system(how), _user(f"{instruction}\n\n{_part('text', inputs)}")


class TextSummary(PromptTask):
    name = "text_summary"
    aliases = ("summarize_text", "summarise_text", "text_summarization")
    description = "A text in few sentences."
    inputs = {"text": TEXT}
    example = {"text": "It rained for a week. The river rose. The bridge was closed."}

    def asked(self, inputs: Values) -> tuple[Message, ...]:
        how = (
            "Summarise the text in its own language, in at most three sentences. "
            f"Say nothing that it does not say. {ONLY}"
        )
        return _system(how), _user(_part("text", inputs))


class TextTranslation(PromptTask):
    name = "text_translation"
    aliases = ("translate_text",)
    description = "A text in another language."
    inputs = {
        "text": TEXT,
        "source": {"type": "string", "default": "the language that it is written in"},
        "target": TEXT,
    }
    example = {"text": "Good morning.", "source": "English", "target": "German"}

    def asked(self, inputs: Values) -> tuple[Message, ...]:
        how = (
            f"Translate the text from {_text(inputs['source'])} to {_text(inputs['target'])}. "
            f"Keep its meaning, its tone and its layout. {ONLY}"
        )
        return _system(how), _user(_part("text", inputs))


class TextEmbedding(PromptTask):
    name = "text_embedding"
    aliases = ("text_emedding", "embed_text")  # the first as the reference document spells it
    description = "A text as a vector of numbers."
    inputs = {"text": TEXT}
    outputs: ClassVar[Mapping[str, Schema]] = {OWN: {"type": "array", "items": {"type": "number"}}}
    example = {"text": "A cat sat on the mat."}
    operation: ClassVar[Operation] = "embeddings"

    def asked(self, inputs: Values) -> tuple[Message, ...]:
        return (_user(_text(inputs["text"])),)


PROMPT_TASKS: tuple[PromptTask, ...] = (
    TextGeneration(),
    TextQuestionAnswer(),
    TextRewriter(),
    TextSummary(),
    TextTranslation(),
    TextEmbedding(),
)


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else str(value)


def _part(name: str, inputs: Values) -> str:
    """An input between marks of its own, so that the model does not take what it says for what it is to do."""
    return f"<{name}>\n{_text(inputs[name])}\n</{name}>"


def _system(text: str) -> Message:
    return Message(role="system", content=text)


def _user(text: str) -> Message:
    return Message(role="user", content=text)
