"""Each mistake that one can make under `on_prompt_failure` and `failure_threshold`, and what the good ones mean."""

from __future__ import annotations

import pytest

from llm_jobs.documents.failures import PromptFailures, Threshold
from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError

LINE = 5
TEXT = """job:
  name: nightly
  prompts: [{name: said, text: Hello, model: simulated}]
  error_handling:
    %s
"""
FAILURE = "job.error_handling.on_prompt_failure"
THRESHOLD = "job.error_handling.failure_threshold"


def parsed(section: str) -> ParsedDocument:
    [document] = parse_document("nightly.yaml", (TEXT % section).encode())
    return document


@pytest.mark.parametrize(
    ("section", "key", "what"),
    [
        ("on_prompt_failure: {strategy: skpi}", f"{FAILURE}.strategy", "not one of the values"),
        ("on_prompt_failure: {strategie: skip}", f"{FAILURE}.strategie", "unknown key"),
        ("on_prompt_failure: skip", FAILURE, "mapping"),
        ("on_prompt_failure: {max_retries: -1}", f"{FAILURE}.max_retries", "greater than or equal to 0"),
        ("on_prompt_failure: {backoff: linear}", f"{FAILURE}.backoff", "value"),
        ("on_prompt_failure: {alert: often}", f"{FAILURE}.alert", "true or false"),
        ("on_prompt_failure: {strategy: fallback}", FAILURE, "has no value"),
        ("on_prompt_failure: {strategy: skip, value: none}", FAILURE, "for fallback and not for skip"),
        ("failure_threshold: 1.5", THRESHOLD, "no share of rows"),
        ("failure_threshold: 100%", THRESHOLD, "neither a number of rows nor a share"),
        ("failure_threshold: -3", THRESHOLD, "no number of rows"),
        ("failure_threshold: few", THRESHOLD, "neither a number of rows nor a share"),
        ("failure_threshold: true", THRESHOLD, "neither a number of rows nor a share"),
        ("failure_threshold: [5]", THRESHOLD, "neither a number of rows nor a share"),
    ],
)
def test_a_mistake_has_its_line_and_key(section: str, key: str, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parsed(section)
    [problem] = caught.value.problems
    assert (problem.line, problem.key) == (LINE, key)
    assert what in problem.what


@pytest.mark.parametrize(
    ("section", "failures"),
    [
        ("on_input_error: {strategy: skip}", PromptFailures()),
        ("on_prompt_failure: {strategy: fail, max_retries: 2}", PromptFailures(strategy="fail")),
        ("on_prompt_failure: {strategy: fallback, value: n/a}", PromptFailures(strategy="fallback", value="n/a")),
        ("on_prompt_failure: {strategy: fallback, value: null}", PromptFailures(strategy="fallback")),
        ("failure_threshold: 25", PromptFailures(threshold=Threshold(rows=25))),
        ("failure_threshold: 0", PromptFailures(threshold=Threshold(rows=0))),
        ("failure_threshold: 0.05", PromptFailures(threshold=Threshold(share=0.05))),
        ("failure_threshold: 12.5%", PromptFailures(threshold=Threshold(share=0.125))),
    ],
)
def test_what_is_stated_is_policy(section: str, failures: PromptFailures) -> None:
    assert parsed(section).policy.failures == failures


@pytest.mark.parametrize(
    ("threshold", "failed", "ended", "passed"),
    [
        (Threshold(rows=3), 3, 3, False),
        (Threshold(rows=3), 4, 4, True),
        (Threshold(share=0.1), 10, 19, False),
        (Threshold(share=0.1), 2, 20, False),
        (Threshold(share=0.1), 3, 20, True),
        (Threshold(share=0.0), 1, 20, True),
    ],
)
def test_a_threshold_is_passed_by_more_than_it_says(
    threshold: Threshold, failed: int, ended: int, passed: bool
) -> None:
    assert threshold.is_passed(failed=failed, ended=ended) is passed
