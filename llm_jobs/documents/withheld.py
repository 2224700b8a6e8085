"""The text of a refused document without the credentials in it: what may be kept of it.

Works on text, because a document that holds a credential may be refused for not being readable at all. Rather
removes too much than too little; a credential that stands as a name (`${NAME}`) stays. Secrets under keys that are
not named like one cannot be told from other text.
"""

from __future__ import annotations

import re

from llm_jobs.documents.text import CREDENTIAL_KEYS

WITHHELD = b"[removed secret]"
# Headers are named freely: X-Auth-Token, Private-Key. `max_tokens` and `key` have no hyphen and are none.
_HEADERS = r"\w{1,40}-[\w-]{0,40}(?:auth|token|secret|key)[\w-]{0,40}|(?:set-)?cookie"
_KEYS = "|".join([*sorted(map(re.escape, CREDENTIAL_KEYS)), _HEADERS])
# The value: in quotes, in brackets, or to the end of the line with all lines below it that are indented further.
# Bounded, so that no search explodes.
_CREDENTIAL = re.compile(
    rf"""(?mix)
    (?P<key> (?: ^(?P<indent>[ \t]*+) (?:-[ \t]++)* ["']? | (?<![\w-]) ) (?:{_KEYS}) ["']? \s*+ : )
    (?! \s*+ (?P<quote>["']?) \$\{{[A-Za-z_]\w*\}} (?P=quote) [ \t]*+ (?:[,}}\]\#\r\n]|\Z) )
    (?! [ \t]*+ (?: bearer_token | \{{ [ \t]*+ bearer: [ \t]*+ ["']?\$\{{[A-Za-z_]\w*\}}["']? [ \t]*+ \}} )
        [ \t]*+ (?:[,}}\]\#\r\n]|\Z) )
    (?P<space> [ \t]*+ )
    (?: \s*+
        (?: "(?:[^"\\]|\\.){{0,9999}}+" | '(?:[^']|''){{0,9999}}+'
          | \{{[^}}]{{0,9999}}+\}} | \[[^\]]{{0,9999}}+\] )
      | [^\n]*+ (?: \n (?P=indent) [ \t]++ [^\n]*+ | \n [ \t]*+ (?=\n) )*+
      | [^\n]++ )
    """.encode()
)
# A user whose password is a name (`ann:${PASSWORD}@`) stays.
_IN_ADDRESS = re.compile(
    rb"(?<=://)(?!(?:\$\{[A-Za-z_]\w*\}|[^\s\"'@:/$]{0,99}):\$\{[A-Za-z_]\w*\}@)[^\s\"'@]{0,999}@(?:[^\s\"'@]{0,999}@)*"
)
_IN_QUERY = re.compile(
    rb"(?i)([?&][\w-]{0,40}(?:pass|token|secret|api_?key|auth)[\w-]{0,40}=)(?!\$\{[A-Za-z_]\w*\}(?:[&\s\"']|\Z))[^&\s\"']{1,9999}"
)


def without_credentials(text: bytes) -> bytes:
    """`text` with every credential's value, the user's part of every address and its secret queries replaced; itself if
    it has none."""
    cleaned = _CREDENTIAL.sub(rb'\g<key>\g<space>"' + WITHHELD + b'"', text)
    cleaned = _IN_QUERY.sub(rb"\g<1>" + WITHHELD, cleaned)
    return _IN_ADDRESS.sub(WITHHELD + b"@", cleaned)
