"""What is kept of a refused document holds no credential, and everything else."""

from __future__ import annotations

import json

import pytest

from llm_jobs.documents.withheld import without_credentials

SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "text",
    [
        f"api_key: {SECRET}",
        f"job:\n  api_key: {SECRET}\n  model: kept",
        f"a: kept\napi_key: '{SECRET}'\nb: kept",
        f'a: kept\nApi_Key: "{SECRET}"',
        f"- api_key: {SECRET}\n- kept",
        f"  api_key:\n    {SECRET}\n  b: kept",
        f"  api_key: |\n    first\n\n    {SECRET}\n  b: kept",
        f"  api_key: >-  # why\n    {SECRET}\n",
        f"  api_key:\n    value: {SECRET}\n    again: {SECRET}\n  b: kept",
        f"  api_key: first\n    {SECRET}\n  b: kept",
        f"a: {{api_key: {SECRET}, b: 1}}",
        f"a: {{b: 1, api_key: {{x: {SECRET}}}}}",
        f"token: [{SECRET}, {SECRET}]",
        f"api_key: !!str {SECRET}",
        f'api_key: "{SECRET}',
        f"api_key: 'it''s {SECRET}'",
        f"api_key: ${{NAME}}{SECRET}",
        f"api_key : {SECRET}",
        f"headers: {{Authorization: Bearer {SECRET}}}",
        json.dumps({"configuration": {"model": "kept", "api_key": SECRET}}),
        json.dumps({"configuration": {"model": "kept", "api_key": f'"\\{SECRET}'}}),
        json.dumps({"configuration": {"api_key": [SECRET], "model": "kept"}}, indent=2),
        f'{{"api_key":\n   "{SECRET}"}}',
        f"endpoint: https://user:{SECRET}@host/v1",
        f"connection: postgresql://ann:${{NAME}}{SECRET}@host/kept",
        f"connection: 'postgresql://host/kept?password={SECRET}&kept=1'",
        f"endpoint: https://host/kept?Access-Token={SECRET}",
        f"headers: {{X-Kept: kept, X-Auth-Token: {SECRET}}}",
        f"headers:\n  Private-Key: {SECRET}\n  kept: 1",
        f"headers: {{Cookie: sid={SECRET}}}",
        f"auth: {{bearer: {SECRET}}}",
        f"auth: {SECRET}",
        f'{{"endpoint": "https://{SECRET}@host/v1?x@y"}}',
    ],
)
def test_a_credential_is_removed_and_its_neighbours_stay(text: str) -> None:
    cleaned = without_credentials(text.encode()).decode()
    assert SECRET not in cleaned
    assert "[removed secret]" in cleaned
    assert cleaned.count("kept") == text.count("kept")


@pytest.mark.parametrize(
    "text",
    [
        "job:\n  api_key: ${MY_KEY}\n  model: x",
        '{"api_key": "${MY_KEY}", "model": "x"}',
        "{api_key: ${MY_KEY}}",
        "connection: postgresql://ann:${PASSWORD}@host/d",
        "connection: 'postgresql://${ANN}:${PASSWORD}@host/d?sslpassword=${OTHER}&x=1'",
        "auth: bearer_token\nrows: /data",
        "input: {auth: {bearer: '${TOKEN}'}, rows: /data}",
        "headers: {X-Auth-Token: '${TOKEN}', X-Shop: a}",
        "endpoint: https://host/x?page_size=5&max=7",
        "max_tokens: 5\nprompt: about tokens and secrets\nmy_token: 3",
        "endpoint: https://host/v1\nwrite: to a@b.example",
        "",
    ],
)
def test_a_text_without_credentials_is_kept_as_it_is(text: str) -> None:
    assert without_credentials(text.encode()) == text.encode()


def test_what_was_json_stays_json() -> None:
    document = {"configuration": {"api_key": 'x"y', "model": "m"}, "prompt": "p"}
    cleaned = json.loads(without_credentials(json.dumps(document).encode()))
    assert cleaned == {"configuration": {"api_key": "[removed secret]", "model": "m"}, "prompt": "p"}
