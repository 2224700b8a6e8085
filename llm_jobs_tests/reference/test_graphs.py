"""The blocks of the first three documents: the pair, the flow of tasks and its builder, the pipelines.

What a block cannot say is put in by the test: the pair's placeholders, and what flows along the arrows of a picture.
The tasks of machine learning are small real ones.
"""

from __future__ import annotations

import json
import re
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.documents.formats.task_graph import plain
from llm_jobs.documents.parsing import detect
from llm_jobs.operations.deliver import deliver
from llm_jobs.operations.graph_builder import GraphBuilder
from llm_jobs_tests.operations.graph_house import GraphHouse
from llm_jobs_tests.reference.stage import rows_of, shown, write
from llm_jobs_tests.servers.replay import replay_server

PLACEHOLDERS = {
    "<name>": '"command/echo"',
    "<value>": "7",
    "<link to command generation script>\n\t...\n}\n": '"request.py"\n},\n',
    "// since the prompts may be large, with repetition, the best way is to store a link to the prompt generation"
    " script here": '"script": "prompt.py"',
}
REQUEST = (
    "import json, sys\nprompt = json.load(sys.stdin)['prompt']\n"
    "print(json.dumps({'argv': ['echo.py'], 'stdin': prompt, 'answer': '/text'}))\n"
)
ECHO = "import json, sys\nprint(json.dumps({'text': sys.stdin.read()[::-1]}))\n"

MODELS = ["ollama/small", "ollama/large"]
TYPES = {"A": "LoadDocument", "B": "SplitParagraphs", "C": "SaveToDatabase"}
ARROWS = {
    ("DownloadModelCompoundTask", "RewriteTextCompoundTask"): ("*", "*"),
    ("RewriteTextCompoundTask", "TextEmeddingCompoundTask"): ("text", "text"),
    ("A", "B"): ("text", "text"),
    ("B", "CompoundTask"): ("paragraphs", "text"),
    ("CompoundTask", "C"): ("*", "*"),
}
INPUTS: dict[str, dict[str, Any]] = {
    "A": {"path": "notes.txt"},
    "C": {"table": "vectors", "connection": "local"},
    "DownloadModelCompoundTask": {"model": MODELS},
    "RewriteTextCompoundTask": {"prompt": "Be brief.", "model": MODELS},
    "TextEmeddingCompoundTask": {"model": MODELS},
}
CODE = {"fn", "input"}  # code is a file and the name of its function, and its inputs are its parameters
UNDERSTOOD = {"model"}  # of every task that asks one


@pytest.fixture
def house(tmp_path: Path) -> GraphHouse:
    house = GraphHouse(tmp_path)
    write(tmp_path / "notes.txt", "It rained.\n\nThe river rose.\n\nThe bridge was closed.\n")
    write(house.home / "connections.yaml", f"local: sqlite:///{tmp_path / 'notes.db'}\n")
    return house


def the_pair() -> str:
    """The first block with its placeholders filled in, as a document."""
    text = shown("1-01")
    for placeholder, value in PLACEHOLDERS.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    return f"{{{text}}}"


def test_the_pair_asks_what_its_script_prints_by_the_command_that_its_other_script_makes(house: GraphHouse) -> None:
    for name, script in {"prompt.py": "print('Say it.')", "request.py": REQUEST, "echo.py": ECHO}.items():
        write(house.home / "scripts" / name, script)
    [report] = house.answer(house.write("job.json", the_pair()))
    assert [row["answer"].strip() for row in rows_of(report)] == [".ti yaS"]
    assert report.name == "job"


def arrows() -> list[tuple[str, str]]:
    return re.findall(r"^ *(\w+)(?:\[[^\]]*\])? --> (\w+)", shown("2-01"), re.MULTILINE)


def task(name: str) -> dict[str, Any]:
    return {"id": name, "type": TYPES.get(name, name), "input": INPUTS.get(name, {})}


def flow(ends: tuple[str, str]) -> dict[str, str]:
    (source, target), (output, name) = ends, ARROWS[ends]
    return {"sourceTaskId": source, "sourceTaskOutputId": output, "targetTaskId": target, "targetTaskInputId": name}


def flow_of_the_picture() -> dict[str, Any]:
    """The flowchart as a task graph: an arrow is a flow, and what no arrow joins to A, B or C is inside."""
    inner = [ends for ends in arrows() if not {"A", "B", "C"} & set(ends)]
    outer = [ends for ends in arrows() if ends not in inner]
    names = dict.fromkeys(name for ends in inner for name in ends)
    subgraph = {"tasks": [task(name) for name in names], "dataflows": [flow(ends) for ends in inner]}
    tasks = [task(name) for name in dict.fromkeys(name for ends in outer for name in ends)]
    tasks = [{**each, "subgraph": subgraph} if each["id"] == "CompoundTask" else each for each in tasks]
    return {"name": "flow", "tasks": tasks, "dataflows": [flow(ends) for ends in outer]}


def test_the_flow_loads_splits_downloads_rewrites_and_embeds_by_two_models_and_saves(house: GraphHouse) -> None:
    assert set(arrows()) == set(ARROWS)
    listed = [{"name": f"{model.removeprefix('ollama/')}:latest", "digest": f"sha256:{model}"} for model in MODELS]
    path = house.write("flow.json", json.dumps(flow_of_the_picture()))
    with replay_server(models=listed) as server:
        house.variables["OLLAMA_HOST"] = server.url
        rows = house.rows(path)
        assert server.stats()["total"] == len(MODELS) * (1 + 3 + 3)  # a pull, then each paragraph twice
        with house.entry.open_services() as services:
            [job] = house.accept(path)
            deliver(services, job.hash)
    assert len(rows) == 3
    assert sum(isinstance(value, list) for value in rows[0].values()) == len(MODELS)
    with sqlite3.connect(house.folder / "notes.db") as database:
        assert database.execute("SELECT count(*) FROM vectors").fetchone() == (3,)
    database.close()


def classes() -> dict[str, set[str]]:
    """The tasks of the class diagram that run, with their members and those of what they are made from."""
    members = {
        name: set(re.findall(r"^ +(?:\w+) (\w+)$", body, re.MULTILINE))
        for name, body in re.findall(r"class (\w+)\{(.*?)\}", shown("2-02"), re.DOTALL)
    }
    parents = {child: parent for parent, child in re.findall(r"(\w+) <\|-- (\w+)", shown("2-02"))}
    abstract = set(parents.values()) | {"OutputTask", "CompoundTask"}
    return {name: members[name] | members.get(parents[name], set()) for name in parents if name not in abstract}


@pytest.mark.parametrize(("name", "members"), classes().items(), ids=list(classes()))
def test_each_task_of_the_class_diagram_is_registered_with_its_inputs(
    house: GraphHouse, name: str, members: set[str]
) -> None:
    with house.entry.open_services() as services:
        assert members - CODE - UNDERSTOOD <= set(services.tasks.get(name).inputs)


@pytest.mark.parametrize("name", re.findall(r"^ +\+?(\w+)\(", shown("2-03"), re.MULTILINE))
def test_each_method_of_the_builder_is_one(name: str) -> None:
    assert callable(getattr(GraphBuilder(name="graph"), plain(name)))


def test_the_pipeline_runs_as_it_stands(house: GraphHouse) -> None:
    text = shown("3-01")
    path = house.write("shown.json", text)
    [row] = house.rows(path)
    assert row == {
        "dataset_path": "huggingface:squad",
        "model_name": "llama-2-7b",
        "load_dataset.dataset_id": "ds_huggingface:squad",
        "load_dataset.dataset_path": "huggingface:squad",
        "finetune.model_id": "llama-2-7b+ds_huggingface:squad+none",
        "finetune.loss": 10.0,
    }
    assert detect("shown.json", text.encode()) == "pipeline"
    assert [job.name for job in house.accepted(path)] == ["finetune_and_eval"]


def test_the_pipeline_as_python_assigns_it_runs_as_it_stands(house: GraphHouse) -> None:
    [row] = house.rows(house.write("two.json", shown("3-02")))
    assert row["finetune.model_id"] == "base+ds_squad+cfg_1"


def test_the_chain_with_an_arrow_back_to_the_data_set_runs(house: GraphHouse) -> None:
    chain = re.findall(r"\w+", shown("3-03").splitlines()[0])
    assert chain == ["load_dataset", "load_config", "finetune", "ptq", "evaluate"]
    mappings = {
        "finetune": {"load_dataset.dataset_id": "dataset_id", "load_config.config_id": "config_id"},
        "ptq": {"finetune.model_id": "model_id"},
        "evaluate": {"ptq.model_id": "model_id", "load_dataset.dataset_id": "dataset_id"},
    }
    nodes = [{"node_id": name, "task_name": name, "input_mappings": mappings.get(name, {})} for name in chain[::-1]]
    edges = [{"from": before, "to": after} for before, after in pairwise(chain[1:])]
    [row] = house.rows(house.write("full.json", {"nodes": nodes, "edges": edges}))
    assert row["evaluate.told"] == "base+ds_squad+cfg_1/4bit on ds_squad"
