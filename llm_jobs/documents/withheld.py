"""The text of a refused document without the credentials in it: what may be kept of it.

Works on text, because a document that holds a credential may be refused for not being readable at all. Rather
removes too much than too little; a credential that stands as a name (`${NAME}`) stays. Secrets under keys that are
not named like one cannot be told from other text.
"""

from __future__ import annotations

import re

from llm_jobs.documents.text import CREDENTIAL_KEYS

WITHHELD = b"[removed secret]"
_KEYS = "|".join(sorted(map(re.escape, CREDENTIAL_KEYS)))
# The value: in quotes, in brackets, or to the end of the line with all lines below it that are indented further.
# Bounded, so that no search explodes.
_CREDENTIAL = re.compile(
    rf"""(?mix)
    (?P<key> (?: ^(?P<indent>[ \t]*+) (?:-[ \t]++)* ["']? | (?<![\w-]) ) (?:{_KEYS}) ["']? \s*+ : )
    (?! \s*+ (?P<quote>["']?) \$\{{[A-Za-z_]\w*\}} (?P=quote) [ \t]*+ (?:[,}}\]\#\r\n]|\Z) )
    (?P<space> [ \t]*+ )
    (?: \s*+
        (?: "(?:[^"\\]|\\.){{0,9999}}+" | '(?:[^']|''){{0,9999}}+'
          | \{{[^}}]{{0,9999}}+\}} | \[[^\]]{{0,9999}}+\] )
      | [^\n]*+ (?: \n (?P=indent) [ \t]++ [^\n]*+ | \n [ \t]*+ (?=\n) )*+
      | [^\n]++ )
    """.encode()
)
_IN_ADDRESS = re.compile(rb"(?<=://)[^\s\"'@]{0,999}@(?:[^\s\"'@]{0,999}@)*")


def without_credentials(text: bytes) -> bytes:
    """`text` with every credential's value, and the user's part of every address, replaced; itself if it has none."""
    cleaned = _CREDENTIAL.sub(rb'\g<key>\g<space>"' + WITHHELD + b'"', text)
    return _IN_ADDRESS.sub(WITHHELD + b"@", cleaned)
