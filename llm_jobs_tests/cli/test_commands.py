"""Every command but `run`, in this process, on jobs that were answered without Dagster."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llm_jobs.operations.overrides import Overrides
from llm_jobs_tests.cli.house import ROWS, House, facts, job


@pytest.fixture
def answered(house: House) -> House:
    """A house with one job, `words`, answered."""
    house.answer(house.write("words.yaml", job("words", ROWS)))
    return house


def job_hash(house: House) -> str:
    [line] = facts(house.invoke("status", "words", "--json").stdout)
    return str(line["job_hash"])


def test_validate_tells_hash_rows_and_first_request_and_records_nothing(house: House) -> None:
    house.write("words.yaml", job("words", ROWS))
    result = house.invoke("validate", "words.yaml", "--json", "--model", "simulated", "--model", "openai/gpt-4.1-mini")
    first, second = facts(result.stdout)
    assert (first["rows"], first["calls"], first["url"]) == (3, 3, None)
    assert first["request"]["messages"] == [{"role": "user", "content": "Say: good"}]
    assert second["url"] == "https://api.openai.com/v1/chat/completions"
    assert first["job_hash"] != second["job_hash"]
    assert "No job was submitted yet" in house.invoke("status").stdout


def test_validate_says_the_same_for_people(house: House) -> None:
    house.write("words.yaml", job("words", ROWS))
    result = house.invoke("validate", "words.yaml")
    assert "words  3 rows, at most 3 calls of simulated" in result.stdout
    assert '"content": "Say: good"' in result.stdout


def test_validate_lists_every_problem_on_a_line_of_its_own(house: House) -> None:
    house.write(
        "words.yaml", {"job": {"name": "words", "modle": "simulated", "prompts": [{"name": "said", "txt": "?"}]}}
    )
    result = house.invoke("validate", "words.yaml")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("error: words.yaml:1: ") for line in lines)
    assert "Traceback" not in result.output


def test_a_script_that_prints_no_text_is_told_as_a_mistake_of_the_document(house: House) -> None:
    (house.home / "scripts").mkdir(parents=True)
    house.write("home/scripts/noise.py", "import sys; sys.stdout.buffer.write(b'ok \\xff')")
    house.write("noise.json", {"configuration": {"LLM_name": "simulated"}, "prompt": {"script": "noise.py"}})
    result = house.invoke("validate", "noise.json")
    assert result.exit_code == 2
    assert "what the script prints is no text: invalid start byte at byte 3" in result.stderr


def test_a_script_that_prints_a_message_of_broken_parts_is_no_prompt_of_its_json(house: House) -> None:
    (house.home / "scripts").mkdir(parents=True)
    message = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image"}]}
    house.write("home/scripts/seen.py", f"import json; print(json.dumps({{'messages': [{message!r}]}}))")
    house.write("seen.json", {"configuration": {"LLM_name": "simulated"}, "prompt": {"script": "seen.py"}})
    result = house.invoke("validate", "seen.json")
    assert result.exit_code == 2
    assert "what the script prints is no message: content.1: is no image part" in result.stderr


def test_submit_places_a_document_in_the_inbox_whole(house: House) -> None:
    path = house.write("words.yaml", job("words", ROWS))
    [told] = facts(house.invoke("submit", "words.yaml", "--json").stdout)
    assert Path(told["inbox"]).read_bytes() == path.read_bytes()
    assert Path(told["inbox"]).parent == house.home / "inbox"
    assert len(told["job_hashes"]) == 1


def test_submit_places_nothing_where_one_document_is_refused(house: House) -> None:
    house.write("words.yaml", job("words", ROWS))
    house.write("wrong.yaml", {"job": {"name": "wrong"}})
    assert house.invoke("submit", "words.yaml", "wrong.yaml").exit_code == 2
    assert house.invoke("submit", "words.yaml", "nowhere.yaml").exit_code == 2
    assert list((house.home / "inbox").iterdir()) == []


def test_submit_places_nothing_where_two_documents_have_one_name_or_one_waits(house: House) -> None:
    for name in ("a/words.yaml", "b/words.yaml", "first.yaml"):
        (house.folder / name).parent.mkdir(exist_ok=True)
        house.write(name, job("words", ROWS))
    assert "2 documents are named words.yaml" in house.invoke("submit", "a/words.yaml", "b/words.yaml").stderr
    assert house.invoke("submit", "a/words.yaml").exit_code == 0
    assert "is not overwritten" in house.invoke("submit", "first.yaml", "b/words.yaml").stderr
    assert [path.name for path in (house.home / "inbox").iterdir()] == ["words.yaml"]


def test_a_document_of_a_name_that_waits_is_not_replaced(house: House) -> None:
    house.write("words.yaml", job("words", ROWS))
    assert house.invoke("submit", "words.yaml").exit_code == 0
    result = house.invoke("submit", "words.yaml")
    assert result.exit_code == 2
    assert "is not overwritten" in result.stderr


def test_status_lists_jobs_and_shows_null_result_where_there_is_none(answered: House) -> None:
    answered.accept(answered.write("later.yaml", job("later", ROWS, text="Later: {{ text }}")))
    later, words = facts(answered.invoke("status", "--json").stdout)
    assert (later["name"], later["status"], later["result"]) == ("later", "null-result", None)
    assert (words["name"], words["status"], words["rows"], words["failed"]) == ("words", "done", 3, 0)
    table = answered.invoke("status").stdout
    assert "null-result" in table
    assert words["job_hash"][:8] in table
    assert facts(answered.invoke("status", "--limit", "1", "--json").stdout) == [later]


def test_status_of_one_job_is_found_by_name_hash_and_beginning(answered: House) -> None:
    whole = job_hash(answered)
    assert facts(answered.invoke("status", whole, "--json").stdout)[0]["name"] == "words"
    assert f"job_hash      {whole}\n" in answered.invoke("status", whole[:8]).stdout


def test_an_unknown_name_is_answered_with_the_nearest(answered: House) -> None:
    result = answered.invoke("status", "wrods")
    assert result.exit_code == 2
    assert "words" in result.stderr


@pytest.mark.parametrize("named", ["words", "words.yaml", "hash"])
def test_results_are_found_by_name_document_and_hash(answered: House, named: str) -> None:
    named = job_hash(answered) if named == "hash" else named
    rows = facts(answered.invoke("results", named, "--json").stdout)
    assert [row["text"] for row in rows] == ["good", "bad", "so so"]
    assert all("simulated" in row["said"] for row in rows)


def test_results_come_in_every_format(answered: House, tmp_path: Path) -> None:
    table = answered.invoke("results", "words").stdout
    assert "3 rows" in table
    assert "llm_call_hash" not in table
    rows = list(csv.DictReader(io.StringIO(answered.invoke("results", "words", "--format", "csv").stdout)))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert len(json.loads(answered.invoke("results", "words", "--format", "json").stdout)) == 3
    assert answered.invoke("results", "words", "--format", "markdown").stdout.startswith("| id | text | said |")
    piped = answered.invoke("results", "words", "--format", "parquet").stdout_bytes
    assert pq.read_table(io.BytesIO(piped)).num_rows == 3


@pytest.mark.parametrize("name", ["saved.csv", "saved.json", "saved.jsonl", "saved.parquet", "saved.md"])
def test_results_are_saved_in_the_format_of_the_files_name_and_replace_nothing(answered: House, name: str) -> None:
    result = answered.invoke("results", "words", "--output", name)
    assert result.stdout == f"3 rows in {answered.folder / name}\n"
    before = (answered.folder / name).read_bytes()
    again = answered.invoke("results", "words", "--output", name)
    assert again.exit_code == 2
    assert "is not overwritten" in again.stderr
    assert (answered.folder / name).read_bytes() == before


@pytest.mark.parametrize("options", [("--output", "saved.txt"), ("--output", "saved", "--format", "table")])
def test_a_file_without_a_format_is_bad_usage(answered: House, options: tuple[str, ...]) -> None:
    assert answered.invoke("results", "words", *options).exit_code == 2


def test_hostile_answers_cannot_drive_the_terminal_or_the_markup(house: House) -> None:
    hostile = [{"text": "\x1b[2J[bold red]\u202e"}, {"text": "[/nothing] | x\ny"}]
    house.answer(house.write("hostile.yaml", job("hostile", hostile)))
    table = house.invoke("results", "hostile").stdout
    assert "\\x1b[2J[bold red]\\u202e" in table
    assert "[/nothing] | x\\ny" in table
    shown = house.invoke("show", "hostile", "--row", "0").stdout
    assert "\x1b" not in table + shown


def test_a_job_without_a_result_says_how_to_see_what_there_is(house: House) -> None:
    house.accept(house.write("words.yaml", job("words", ROWS)))
    result = house.invoke("results", "words")
    assert result.exit_code == 2
    assert "--so-far" in result.stderr


def test_so_far_shows_what_another_job_has_answered_already(answered: House) -> None:
    more = [*ROWS, {"id": 4, "text": "new"}]
    answered.accept(answered.write("more.yaml", job("more", more)))
    rows = facts(answered.invoke("results", "more", "--so-far", "--json").stdout)
    assert [row["text"] for row in rows] == ["good", "bad", "so so"]
    assert all(row["llm_status"] == "succeeded" and row["llm_reused"] for row in rows)


def test_a_changed_document_has_no_result_and_says_so(answered: House) -> None:
    answered.write("words.yaml", job("words", ROWS, text="Shout: {{ text }}"))
    result = answered.invoke("results", "words.yaml")
    assert result.exit_code == 2
    assert "was never submitted" in result.stderr


def test_show_tells_the_request_and_the_answer_of_a_row(answered: House) -> None:
    [shown] = facts(answered.invoke("show", "words", "--row", "1", "--json").stdout)
    assert shown["values"]["text"] == "bad"
    [attempt] = shown["attempts"]
    assert json.loads(attempt["request"])["messages"][0]["content"] == "Say: bad"
    assert json.loads(attempt["answer"])["choices"][0]["message"]["content"] == shown["values"]["said"]
    text = answered.invoke("show", "words", "--row", "1").stdout
    assert '"content": "Say: bad"' in text
    assert "attempt 1: succeeded" in text


def test_show_of_a_row_that_is_not_there_is_an_error(answered: House) -> None:
    result = answered.invoke("show", "words", "--row", "3")
    assert result.exit_code == 2
    assert "there is no row 3" in result.stderr


def test_find_and_origin_lead_from_a_name_to_results_and_back(answered: House) -> None:
    path = answered.invoke("find", "some/folder/words.yaml").stdout.strip()
    assert Path(path).is_file()
    assert answered.invoke("origin", path).stdout.strip() == job_hash(answered)
    assert facts(answered.invoke("find", "words.yaml", "--json").stdout) == [{"document": "words.yaml", "result": path}]


WATCHED = """
import os, sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
from llm_jobs.cli.entry import Entry
from llm_jobs.cli.main import cli
cli.main(sys.argv[1:], standalone_mode=False, obj=Entry(os.environ, Path.cwd()))
print(*[path for path in opened if path.startswith(os.environ["LLM_JOBS_HOME"])], sep="\\n", file=sys.stderr)
"""


def test_find_opens_no_document_input_or_result_and_origin_nothing_at_all(answered: House) -> None:
    program = (sys.executable, "-c", WATCHED)
    found = answered.process("find", "words.yaml", program=program)
    opened = {Path(line).relative_to(answered.home).parts[0] for line in found.stderr.split()}
    assert opened.isdisjoint({"jobs", "inputs", "results", "inbox"})
    path = found.stdout.strip()
    assert path.endswith(".parquet")
    origin = answered.process("origin", path, program=program)
    assert (origin.stdout.strip(), origin.stderr.strip()) == (job_hash(answered), "")


def test_find_tells_an_unknown_name_from_one_without_a_result(house: House) -> None:
    house.accept(house.write("words.yaml", job("words", ROWS)))
    waiting = house.invoke("find", "words.yaml")
    assert (waiting.exit_code, waiting.stdout) == (0, "")
    assert "null-result" in waiting.stderr
    assert house.invoke("find", "other.yaml").exit_code == 2


@pytest.mark.parametrize("path", ["results.parquet", "12.parquet", "x", "a/b.parquet", "x/12.csv"])
def test_origin_of_what_is_no_result_is_an_error(house: House, path: str) -> None:
    result = house.invoke("origin", path)
    assert (result.exit_code, f"error: {path} is no result" in result.stderr) == (2, True)


def test_verify_finds_everything_as_it_was_recorded(answered: House) -> None:
    result = answered.invoke("verify")
    assert result.exit_code == 0
    assert "1 result checked, 0 damaged" in result.stdout
    [told] = facts(answered.invoke("verify", "words", "--json").stdout)
    assert told["intact"]
    assert told["ledger"]["answers"] == 3


def test_verify_finds_a_result_that_was_changed_or_is_gone(answered: House) -> None:
    [path] = (answered.home / "results").rglob("*.parquet")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"x")
    result = answered.invoke("verify")
    assert result.exit_code == 1
    assert f"damaged: {path}: its SHA-256 is" in result.stdout
    path.unlink()
    result = answered.invoke("verify")
    assert result.exit_code == 1
    assert "missing" in result.stdout


def test_models_lists_the_catalogue(house: House) -> None:
    house.home.mkdir()
    house.write("home/models.yaml", "mini: {provider: openai, model: gpt-4.1-mini, quota: {requests_per_minute: 60}}\n")
    mini, simulated = facts(house.invoke("models", "--json").stdout)
    assert (mini["model"], mini["upstream"], mini["requests_per_minute"]) == ("mini", "gpt-4.1-mini", 60)
    assert simulated["model"] == "simulated"
    table = house.invoke("models").stdout
    assert "gpt-4.1-mini" in table
    assert "openai/NAME" in table


def test_prompts_lists_every_version_of_the_library(house: House) -> None:
    assert "There is no prompt" in house.invoke("prompts").stdout
    folder = house.home / "prompts" / "greet"
    folder.mkdir()
    for version in ("1.0.0", "1.1.0"):
        (folder / f"{version}.yaml").write_text("text: 'Greet {{ name }}'\n")
    assert [line["version"] for line in facts(house.invoke("prompts", "--json").stdout)] == ["1.0.0", "1.1.0"]
    assert "Greet {{ name }}" in house.invoke("prompts").stdout


def test_a_model_chosen_on_the_command_line_is_another_job(answered: House) -> None:
    answered.accept(answered.folder / "words.yaml", Overrides(models=("simulated/other",)))
    assert len(facts(answered.invoke("status", "--json").stdout)) == 2


def test_a_ledger_that_cannot_be_opened_is_the_environments_fault(house: House) -> None:
    house.variables["LLM_JOBS_DATABASE_URL"] = "mysql://nowhere/ledger"
    result = house.invoke("status")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: ")
