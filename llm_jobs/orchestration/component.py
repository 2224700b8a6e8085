"""`llm_jobs.LlmJob`: a document as a component of anybody's Dagster project, each of its steps an asset.

    type: llm_jobs.LlmJob
    attributes: {path: job.yaml}

Loading reads the document, never a table, a ledger or a server. No annotations from the future: Dagster reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
import yaml

from llm_jobs.operations.outlines import outline_of
from llm_jobs.orchestration.hosted import reading
from llm_jobs.orchestration.partitions_written import BackfillField, PartitionsField
from llm_jobs.orchestration.step_assets import StepWork, loading_overrides, step_assets
from llm_jobs.orchestration.step_batches import batches_sensor_of
from llm_jobs.orchestration.step_schedules import schedule_of
from llm_jobs.orchestration.step_specs import Saying, StepAsset, name_of, step_specs

EXAMPLE = """\
job:
  name: {name}
  model: simulated
  input:
    rows:
      - {{review: Makes the best coffee.}}
      - {{review: The seal cracked after a week.}}
  prompts:
    - {{name: sentiment, purpose: How the writer feels., text: "Good or bad, in one word: {{{{ review }}}}"}}
    - name: reply
      purpose: What the writer is told.
      text: "Answer this review, which is {{{{ sentiment }}}}: {{{{ review }}}}"
"""


class LlmJobScaffolder(dg.Scaffolder[Any]):
    """Writes `defs.yaml` and, beside it, a document that runs without a key."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        name = "job.yaml"
        dg.scaffold_component(request, {"path": name})
        document = EXAMPLE.format(name=request.target_path.name)
        (request.target_path / name).write_text(document, encoding="utf-8")


def _as_written(context: dg.ResolutionContext, value: Any) -> Any:
    """The prompts of a document have templates of their own, which Dagster's leave alone."""
    return value


def _told(description: str) -> Any:
    """What people and their editors are told of an attribute."""
    return dg.Resolver.default(description=description)


_DOCUMENT = dg.Resolver(
    _as_written, model_field_type=dict[str, Any] | None, description="The document's content, in place of `path`."
)


@dg.scaffold_with(LlmJobScaffolder)
@dataclass(kw_only=True)
class LlmJob(dg.Component, dg.Resolvable):
    """A job document; each of its steps is an asset.

    `path` or `document` says the job. With partitions, `{partition_key}`, `{partition_start}` and `{partition_end}` in
    `parameters` and `input` are filled for each.
    """

    path: Annotated[str | None, _told("The document, relative to the folder of `defs.yaml`.")] = None
    document: Annotated[Mapping[str, Any] | None, _DOCUMENT] = None
    home: Annotated[str | None, _told("The home folder with ledger, prompts and models, relative to the project.")] = (
        None
    )
    parameters: Annotated[dict[str, Any], _told("Of a template, by name, as `--param` says them.")] = field(
        default_factory=dict
    )
    input: Annotated[str | None, _told("The table in place of the document's, relative to `defs.yaml`.")] = None
    profile: Annotated[str | None, _told("The document's profile.")] = None
    asset_prefix: Annotated[str | list[str] | None, _told("Of the assets' keys; else the job's name.")] = None
    group_name: Annotated[str | None, _told("Of every asset; else the job's name.")] = None
    owners: Annotated[list[str] | None, _told("Of every asset.")] = None
    tags: Annotated[dict[str, str], _told("Of every asset.")] = field(default_factory=dict)
    op_tags: Annotated[dict[str, Any], _told("Of the operation that makes the assets.")] = field(default_factory=dict)
    deps: Annotated[list[str], _told("The assets that the first steps come after.")] = field(default_factory=list)
    partitions_def: PartitionsField = None
    backfill_policy: BackfillField = None
    assets: Annotated[dict[str, StepAsset], _told("By step, what is said of its asset in place of the document.")] = (
        field(default_factory=dict)
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """One asset per step of the outermost level, made by one operation; for vendors' batches, a sensor; and the
        schedule that the document states. Raises DocumentError."""
        work = self._work(context)
        with reading(work.home) as services:
            outline = outline_of(services, work.path, work.read(), loading_overrides(work, self.partitions_def))
        name = name_of(outline, self._saying())
        assets = step_assets(
            outline,
            step_specs(outline, self._saying()),
            work,
            name=name,
            partitions_def=self.partitions_def,
            backfill_policy=self.backfill_policy,
            op_tags=self.op_tags,
        )
        sensors = [batches_sensor_of(name, assets, work.home)] if outline.uses_batches else []
        stated = outline.schedule
        schedules = [] if stated is None else [schedule_of(name, assets, stated, self.partitions_def)]
        return dg.Definitions(assets=[assets], sensors=sensors, schedules=schedules)

    def _work(self, context: dg.ComponentLoadContext) -> StepWork:
        folder = context.path if context.path.is_dir() else context.path.parent
        if (self.path is None) == (self.document is None):
            raise ValueError(
                f"{folder}: LlmJob takes a document by `path` or as `document`, and exactly one of them is to be stated"
            )
        return StepWork(
            path=folder / (self.path or "document.yaml"),
            text=None if self.document is None else yaml.safe_dump(dict(self.document), sort_keys=False).encode(),
            home=None if self.home is None else Path(context.project_root, self.home),
            parameters=self.parameters,
            input=self.input,
            profile=self.profile,
        )

    def _saying(self) -> Saying:
        prefix = self.asset_prefix
        return Saying(
            prefix=prefix.split("/") if isinstance(prefix, str) else prefix,
            group_name=self.group_name,
            owners=self.owners,
            tags=self.tags,
            deps=self.deps,
            assets=self.assets,
        )
