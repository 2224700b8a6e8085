"""One POST of JSON to an address that somebody configured, as the webhooks of Slack and others take it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException, InvalidURL
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from llm_jobs.errors import MessageNotSent, MessageRefused

TIMEOUT_S = 10.0
_TRANSIENT_STATUSES = frozenset({408, 425, 429})


class _NoRedirects(HTTPRedirectHandler):
    """A message goes where it was addressed to, and nowhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def post(url: str, members: Mapping[str, object], headers: Mapping[str, str], *, named: str) -> None:
    """POST as JSON. `named` stands for the address in errors: the address of a webhook is a secret."""
    body = json.dumps(members).encode()
    try:
        request = Request(url, data=body, headers={"Content-Type": "application/json", **headers})
        with build_opener(_NoRedirects).open(request, timeout=TIMEOUT_S) as response:
            response.read(1024)
    except HTTPError as error:
        error.close()
        is_final = error.code < 500 and error.code not in _TRANSIENT_STATUSES
        raise (MessageRefused if is_final else MessageNotSent)(f"{named} answered {error.code}") from None
    except (ValueError, InvalidURL) as error:
        raise MessageRefused(f"{named} is no address: {type(error).__name__}") from None
    except (OSError, HTTPException) as error:
        raise MessageNotSent(f"{named}: {type(error).__name__}") from None
