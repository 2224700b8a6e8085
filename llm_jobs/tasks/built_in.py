"""The tasks that this project brings. Imported when a task is first looked for: most jobs have none."""

from __future__ import annotations

from llm_jobs.tasks.base import AnyTask
from llm_jobs.tasks.code import JavaScriptTask, LambdaTask
from llm_jobs.tasks.debug_log import DebugLog
from llm_jobs.tasks.documents import LoadDocument
from llm_jobs.tasks.downloads import DownloadModel
from llm_jobs.tasks.expressions import ExpressionTask
from llm_jobs.tasks.markdown import MarkdownParse
from llm_jobs.tasks.paragraphs import SplitParagraphs
from llm_jobs.tasks.prompting import PROMPT_TASKS

BUILT_IN: tuple[AnyTask, ...] = (
    *PROMPT_TASKS,
    DebugLog(),
    DownloadModel(),
    ExpressionTask(),
    JavaScriptTask(),
    LambdaTask(),
    LoadDocument(),
    MarkdownParse(),
    SplitParagraphs(),
)
