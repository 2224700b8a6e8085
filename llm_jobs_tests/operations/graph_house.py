"""A house whose registry knows a few small tasks that stand for machine learning: each computes for real, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq

from llm_jobs.documents.job import Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.events import ignore
from llm_jobs.operations.accept import accept
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.run import run_jobs
from llm_jobs.tasks.base import Schema, Surroundings, Task
from llm_jobs_tests.cli.house import House

TEXT: Mapping[str, JsonValue] = {"type": "string"}
NUMBER: Mapping[str, JsonValue] = {"type": "number"}


class LoadDataset(Task):
    name = "load_dataset"
    description = "An identifier of a data set, and where it lies."
    inputs: ClassVar[Mapping[str, Schema]] = {"dataset_path": {**TEXT, "default": "squad"}}
    outputs: ClassVar[Mapping[str, Schema]] = {"dataset_id": TEXT, "dataset_path": TEXT}

    def run(self, inputs: Mapping[str, JsonValue], surroundings: Surroundings) -> Mapping[str, JsonValue]:
        return {"dataset_id": f"ds_{inputs['dataset_path']}", "dataset_path": inputs["dataset_path"]}


class LoadConfig(Task):
    name = "load_config"
    description = "An identifier of a configuration, and the configuration."
    inputs: ClassVar[Mapping[str, Schema]] = {}
    outputs: ClassVar[Mapping[str, Schema]] = {"config_id": TEXT, "epochs": NUMBER}

    def run(self, inputs: Mapping[str, JsonValue], surroundings: Surroundings) -> Mapping[str, JsonValue]:
        return {"config_id": "cfg_1", "epochs": 3.0}


class Finetune(Task):
    name = "finetune"
    description = "A model that knows a data set."
    inputs: ClassVar[Mapping[str, Schema]] = {
        "dataset_id": TEXT,
        "config_id": {**TEXT, "default": "none"},
        "model_name": {**TEXT, "default": "base"},
    }
    outputs: ClassVar[Mapping[str, Schema]] = {"model_id": TEXT, "loss": NUMBER}

    def run(self, inputs: Mapping[str, JsonValue], surroundings: Surroundings) -> Mapping[str, JsonValue]:
        return {
            "model_id": f"{inputs['model_name']}+{inputs['dataset_id']}+{inputs['config_id']}",
            "loss": len(str(inputs["dataset_id"])) / 2,
        }


class Ptq(Task):
    name = "ptq"
    description = "A model of fewer bits."
    inputs: ClassVar[Mapping[str, Schema]] = {"model_id": TEXT}
    outputs: ClassVar[Mapping[str, Schema]] = {"model_id": TEXT}

    def run(self, inputs: Mapping[str, JsonValue], surroundings: Surroundings) -> Mapping[str, JsonValue]:
        return {"model_id": f"{inputs['model_id']}/4bit"}


class Evaluate(Task):
    name = "evaluate"
    description = "How good a model is on a data set."
    inputs: ClassVar[Mapping[str, Schema]] = {"model_id": TEXT, "dataset_id": TEXT}
    outputs: ClassVar[Mapping[str, Schema]] = {"accuracy": NUMBER, "told": TEXT}

    def run(self, inputs: Mapping[str, JsonValue], surroundings: Surroundings) -> Mapping[str, JsonValue]:
        return {"accuracy": 0.5, "told": f"{inputs['model_id']} on {inputs['dataset_id']}"}


LEARNING = (LoadDataset(), LoadConfig(), Finetune(), Ptq(), Evaluate())


class GraphHouse(House):
    """A house with tasks of its own."""

    def accepted(self, path: Path, *tasks: Task, overrides: Overrides = NO_OVERRIDES) -> list[Job]:
        with self.entry.open_services() as services:
            for task in tasks or LEARNING:
                services.tasks.register(task)
            return [each.job for each in accept(services, path, origin="cli", overrides=overrides)]

    def made(self, path: Path, *tasks: Task, overrides: Overrides = NO_OVERRIDES) -> list[JobReport]:
        """Submit a document and run its jobs."""
        jobs = self.accepted(path, *tasks, overrides=overrides)
        with self.entry.open_services() as services:
            for task in tasks or LEARNING:
                services.tasks.register(task)
            return list(run_jobs(services, [job.hash for job in jobs], listener=ignore))

    def rows(self, path: Path, *tasks: Task, overrides: Overrides = NO_OVERRIDES) -> list[dict[str, Any]]:
        """The rows of the one job of a document, without their facts."""
        [report] = self.made(path, *tasks, overrides=overrides)
        assert report.result is not None, report.error
        rows = pq.read_table(report.result).to_pylist()
        assert {row["llm_status"] for row in rows} == {"succeeded"}, [row["llm_error"] for row in rows]
        return [{name: value for name, value in row.items() if not name.startswith("llm_")} for row in rows]
