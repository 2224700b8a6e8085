"""Documents that are run by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_jobs import JobExecutor
from llm_jobs.errors import DocumentError, NotFound
from llm_jobs_tests.cli.house import House, facts

DOCUMENT = """
job:
  name: sentiment_analysis_job
  model: simulated
  input: {rows: [{id: 1, text: good}]}
  prompts:
    - {name: said, text: "Say: {{ text }}", temperature: 0}
  profiles:
    production: {model: simulated/large}
"""


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def keep(house: House, folder: str, name: str, text: str = DOCUMENT) -> Path:
    path = house.home / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("folder", ["documents", "recurring", "../examples"])
@pytest.mark.parametrize("name", ["sentiment_analysis_job", "reviews", "reviews.yaml"])
def test_a_document_is_run_by_its_name_or_by_the_name_of_its_file(house: House, folder: str, name: str) -> None:
    keep(house, folder, "reviews.yaml")
    assert JobExecutor(name, home=house.home).run().name == "sentiment_analysis_job"


def test_the_reference_s_command_runs(house: House) -> None:
    keep(house, "documents", "reviews.yaml")
    house.write("custom.json", '[{"id": 1, "text": "so so"}, {"id": 2, "text": "bad"}]')
    done = house.invoke(
        *("run-job", "sentiment_analysis_job", "--input", "custom.json", "--json"),
        *("--profile", "production", "--param", "temperature=0.5"),
    )
    assert done.exit_code == 0, done.output
    assert facts(done.stdout)[0]["rows"] == 2


def test_an_edited_document_comes_before_the_job_that_was_made_of_it(house: House) -> None:
    first = keep(house, "documents", "reviews.yaml")
    before = JobExecutor("sentiment_analysis_job", home=house.home).run()
    first.write_text(DOCUMENT.replace("good", "better"))
    after = JobExecutor("sentiment_analysis_job", home=house.home).run()
    assert before.job_hash != after.job_hash


def test_a_submitted_job_comes_before_an_example_of_its_name(house: House) -> None:
    submitted = house.accept(house.write("mine.yaml", DOCUMENT.replace("good", "mine")))[0]
    keep(house, "../examples", "sentiment_analysis_job.yaml")
    assert JobExecutor("sentiment_analysis_job", home=house.home).run().job_hash == submitted.hash


def test_a_name_that_two_documents_have_is_refused(house: House) -> None:
    keep(house, "documents", "one.yaml")
    keep(house, "recurring", "two.yaml")
    with pytest.raises(DocumentError, match="2 documents are named 'sentiment_analysis_job'"):
        JobExecutor("sentiment_analysis_job", home=house.home).run()


def test_a_document_that_cannot_be_read_hides_no_other(house: House) -> None:
    keep(house, "documents", "broken.yaml", "job: {name: sentiment_analysis_job")
    keep(house, "documents", "good.yaml")
    assert JobExecutor("sentiment_analysis_job", home=house.home).run().status == "done"


def test_a_name_that_nothing_has_is_told_with_the_nearest(house: House) -> None:
    keep(house, "documents", "reviews.yaml")
    with pytest.raises(NotFound, match="did you mean 'reviews'"):
        JobExecutor("reviws", home=house.home).run()


@pytest.mark.parametrize("name", ["../documents/reviews", "..", ".", ""])
def test_a_name_leaves_no_folder(house: House, name: str) -> None:
    keep(house, "documents", "reviews.yaml")
    with pytest.raises(NotFound):
        JobExecutor(name, home=house.home).run()
