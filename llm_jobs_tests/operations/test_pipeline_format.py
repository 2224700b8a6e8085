"""Pipelines of nodes and edges, from the text of the document to the row of the result, and each mistake in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.errors import DocumentError
from llm_jobs_tests.operations.graph_house import GraphHouse


@pytest.fixture
def house(tmp_path: Path) -> GraphHouse:
    return GraphHouse(tmp_path)


def node(name: str, task: str, **mappings: str) -> dict[str, Any]:
    return {
        "node_id": name,
        "task_name": task,
        "input_mappings": {key.replace("__", "."): mappings[key] for key in mappings},
    }


def test_an_input_left_out_is_the_output_of_its_name_of_a_node_before_it(house: GraphHouse) -> None:
    nodes = [node("load", "load_dataset"), node("tune", "finetune")]
    [row] = house.rows(house.write("near.json", {"nodes": nodes, "edges": [{"from": "load", "to": "tune"}]}))
    assert row["tune.model_id"] == "base+ds_squad+none"


def test_nodes_in_another_order_are_the_same_job_where_their_edges_order_them(house: GraphHouse) -> None:
    nodes = [node("load", "load_dataset"), node("tune", "finetune", load__dataset_id="dataset_id")]
    hashes = {house.accepted(house.write("order.json", {"nodes": listed}))[0].hash for listed in (nodes, nodes[::-1])}
    assert len(hashes) == 1


A, B = node("a", "ptq", b__model_id="model_id"), node("b", "ptq", a__model_id="model_id")
LOAD = node("load", "load_dataset")
MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"nodes": []}, "at least 1 item", "add at least one"),
    ({"nodes": [{"node_id": "a"}]}, "'task_name' is missing", "task_name"),
    ({"nodes": [{**LOAD, "task": "x"}]}, "unknown key 'task'", "task_name"),
    ({"nodes": [LOAD], "edge": []}, "unknown key 'edge'", "did you mean 'edges'?"),
    ({"nodes": [LOAD, LOAD]}, "a second node has the id 'load'", "rename"),
    ({"nodes": [A, B]}, "the graph has a cycle: a -> b -> a", "remove one of these edges"),
    ({"nodes": [LOAD], "edges": [{"from": "load", "to": "load"}]}, "cycle: load -> load", "remove"),
    (
        {"nodes": [LOAD, node("a", "ptq", load__dataset_id="model_id")], "edges": [{"from": "a", "to": "load"}]},
        "the graph has a cycle: ",
        "remove one of these edges",
    ),
    ({"nodes": [LOAD], "edges": [{"from": "laod", "to": "load"}]}, "there is no node 'laod'", "did you mean 'load'?"),
    ({"nodes": [LOAD, node("a", "ptq", lod__x="model_id")]}, "there is no node 'lod'", "did you mean 'load'?"),
    ({"nodes": [LOAD, node("a", "ptq", load="model_id")]}, "names no output", "a dot"),
    ({"nodes": [node("a", "load_datset")]}, "no task 'load_datset'", ""),
    ({"nodes": [node("a", "ptq")]}, "task ptq lacks the input 'model_id'", "model_id"),
    ({"nodes": [{**LOAD, "inputs": {"path": "x"}}]}, "has no input 'path'", ""),
    (
        {"nodes": [LOAD, node("a", "ptq", load__dataset="model_id")]},
        "step load has no output 'dataset'",
        "did you mean 'dataset_id'?",
    ),
    (
        {"nodes": [node("c", "load_config"), node("a", "ptq", c__epochs="model_id")]},
        "c.epochs -> a.model_id: number flows where string is taken",
        "connect another output",
    ),
    (
        {"nodes": [LOAD, {**node("a", "ptq", load__dataset_id="model_id"), "inputs": {"model_id": "x"}}]},
        "the input 'model_id' of node a is said twice",
        "remove one",
    ),
    ({"nodes": [LOAD], "global_inputs": {"llm_x": 1}}, "would hide one of the result's own", "rename"),
]


@pytest.mark.parametrize(("value", "what", "remedy"), MISTAKES, ids=[what[:40] for _, what, _ in MISTAKES])
def test_a_mistake_is_refused_with_its_line_before_anything_is_kept(
    house: GraphHouse, value: dict[str, Any], what: str, remedy: str
) -> None:
    path = house.write("wrong.json", json.dumps(value, indent=1))
    with pytest.raises(DocumentError) as caught:
        house.accepted(path)
    found = [problem for problem in caught.value.problems if what in problem.what]
    assert found, caught.value.problems
    assert found[0].line is not None
    assert remedy in (found[0].remedy or "")
    assert not list(house.home.glob("jobs/*"))


def test_comments_are_read_in_no_other_format(house: GraphHouse) -> None:
    path = house.write("pair.json", '{"configuration": {"LLM_name": "simulated"}, // no\n "prompt": "nodes"}')
    with pytest.raises(DocumentError):
        house.accepted(path)
