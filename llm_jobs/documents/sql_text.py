"""How many statements a text of SQL holds, as far as that can be told without a database. Nothing is parsed further.

The database is what refuses to write; this is what tells a user early, with the line.
"""

from __future__ import annotations

import re

# What may hold a `;` that ends no statement: comments, texts, quoted names, PostgreSQL's dollar quotes.
_OPAQUE = re.compile(
    r"""--[^\n]*
      | /\*.*?(?:\*/|\Z)
      | '(?:[^']|'')*(?:'|\Z)
      | "(?:[^"]|"")*(?:"|\Z)
      | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?:(?P=tag)|\Z)""",
    re.DOTALL | re.VERBOSE,
)
_READS = re.compile(r"\s*\(*\s*(?:SELECT|WITH|VALUES|TABLE)\b", re.IGNORECASE)


def is_one_statement(text: str) -> bool:
    """Whether `text` is one statement that begins as one that reads does. A `;` at its end counts for nothing."""
    bare = _OPAQUE.sub(" ", text)
    return ";" not in bare.rstrip().rstrip(";") and _READS.match(bare) is not None
