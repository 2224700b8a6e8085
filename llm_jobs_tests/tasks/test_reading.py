"""What is read out of texts and files: Markdown, paragraphs, HTML, PDF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.errors import RowError
from llm_jobs.tasks.base import OWN, Surroundings
from llm_jobs.tasks.documents import LoadDocument
from llm_jobs.tasks.markdown import MarkdownParse
from llm_jobs.tasks.paragraphs import SplitParagraphs

NOWHERE = Surroundings(scripts=Path("/nowhere"), roots=())
PAGE = b"""<!doctype html><html><head><title>T</title><style>p{}</style></head><body>
<h1>Top &amp; more</h1><p>one
  <b>two</b></p><script>alert("no")</script><table><tr><td>a</td><td>b</td></tr></table></body></html>"""


def parsed(text: str) -> Mapping[str, Any]:
    return MarkdownParse().run({"text": text}, NOWHERE)


def pieces(text: str, most: int | None = None, overlap: int = 0) -> list[str]:
    found = SplitParagraphs().run({"text": text, "max_chars": most, "overlap": overlap}, NOWHERE)[OWN]
    assert isinstance(found, list)
    return [str(each) for each in found]


def test_headings_have_their_level_and_no_marks() -> None:
    assert parsed("# A *b*\n\ntext\n\nC `d`\n---\n")["headings"] == [
        {"level": 1, "text": "A b"},
        {"level": 2, "text": "C d"},
    ]


def test_tables_are_rows_of_cells_with_their_head() -> None:
    text = "| a | b |\n|:--|--:|\n| 1 | **2** |\n| 3 | |\n\nand\n\n| x |\n|---|\n| y |\n"
    assert parsed(text)["tables"] == [[["a", "b"], ["1", "2"], ["3", ""]], [["x"], ["y"]]]


@pytest.mark.parametrize(
    ("text", "first", "all_json"),
    [
        ('```json\n{"a": 1}\n```\n', {"a": 1}, [{"a": 1}]),
        ("```\n[1]\n```\n\n```JSON\n2\n```\n", [1], [[1], 2]),
        ("```json\n{broken\n```\n\n~~~json\nnull\n~~~\n", None, [None]),
        ("```python\n1\n```\n", None, []),
        ("```json\nNaN\n```\n", None, []),
        ("```json\n[1e999]\n```\n", None, []),
        ("no fence at all: {}", None, []),
        ("```json\n" + "[" * 100_000 + "\n```\n", None, []),
    ],
)
def test_json_is_what_stands_in_fences_that_do_not_say_otherwise(
    text: str, first: object, all_json: list[object]
) -> None:
    found = parsed(text)
    assert (found["json"], found["all_json"]) == (first, all_json)


def test_code_has_its_language_also_where_it_is_indented() -> None:
    assert parsed("```Python title=x\nprint(1)\n```\n\n    indented\n")["code_blocks"] == [
        {"language": "python", "text": "print(1)\n"},
        {"language": "", "text": "indented\n"},
    ]


def test_the_text_is_what_is_said_in_words() -> None:
    text = "# A\n\n- one\n- [two](http://x)\n\n> said\n> again\n\n![picture](p.png) `code`\n\n<b>html</b>\n"
    assert parsed(text)["text"] == "A\n\none\n\ntwo\n\nsaid\nagain\n\npicture code\n\nhtml"


@given(st.text())
def test_any_text_can_be_read_as_markdown(text: str) -> None:
    assert parsed(text).keys() == MarkdownParse.outputs.keys()


def test_paragraphs_are_what_blank_lines_part() -> None:
    assert pieces(" one\nline \n \n\n two\n\n\n") == ["one\nline", "two"]
    assert pieces(" \n\n ") == []


def test_pieces_hold_whole_paragraphs_as_far_as_they_fit() -> None:
    assert pieces("aa\n\nbb\n\ncccc", 6) == ["aa\n\nbb", "cccc"]
    assert pieces("One is. Two is. Three is.", 16) == ["One is. Two is.", "Three is."]
    assert pieces("one two three", 8) == ["one two", "three"]
    assert pieces("abcdefgh", 3) == ["abc", "def", "gh"]


def test_each_piece_begins_with_the_end_of_the_one_before() -> None:
    assert pieces("abcd\n\nefgh\n\nij", 6, 2) == ["abcd", "cdefgh", "ghij"]


@given(st.text(alphabet="ab .\n", max_size=200), st.integers(2, 20), st.integers(0, 1))
def test_no_piece_is_too_long_and_no_letter_is_lost(text: str, most: int, overlap: int) -> None:
    found = pieces(text, most, overlap)
    assert all(0 < len(piece) <= most for piece in found)
    if not overlap:
        assert "".join("".join(found).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "\ufeffplain ä".encode(), "plain ä"),
        ("a.md", b"# kept", "# kept"),
        ("a.HTML", PAGE, "Top & more\n\none two\n\na b"),
        ("a.unknown", b"text", "text"),
    ],
)
def test_files_are_texts(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    around = Surroundings(scripts=tmp_path, roots=(tmp_path / "none", tmp_path))
    assert LoadDocument().run({"path": name}, around) == {OWN: expected}


def test_pages_of_pdf_are_paragraphs(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("Hello page"))
    around = Surroundings(scripts=tmp_path, roots=(tmp_path,))
    assert LoadDocument().run({"path": "a.pdf"}, around) == {OWN: "Hello page"}


def test_what_is_no_pdf_fails_its_row(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 broken")
    around = Surroundings(scripts=tmp_path, roots=(tmp_path,))
    with pytest.raises(RowError, match=r"a\.pdf cannot be read as PDF"):
        LoadDocument().run({"path": "a.pdf"}, around)


def test_a_link_out_of_the_allowed_folders_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(RowError, match="no file"):
        LoadDocument().run({"path": "link.txt"}, Surroundings(scripts=inside, roots=(inside,)))


def pdf(text: str) -> bytes:
    """A PDF of one page, with the offsets that its table of objects needs."""
    stream = f"BT /F1 12 Tf 10 100 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    made, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        offsets.append(len(made))
        made += b"%d 0 obj%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    tail = b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    return made + tail % (table, len(made))
