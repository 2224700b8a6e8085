"""The command line as a process with keys, in an environment that holds nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

KEY_VARIABLES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_API_KEY", "COMMAND_KEY")
PASSWORD = "pa55-Wq/8x+t%Z@k:3"


def awkward(name: str) -> str:
    return f'sk-{name}/Zq7+x%K9=w"J\\v&<T3>u8Rf'


def ordinary(name: str) -> str:
    return f"sk-proj-{name}-hG5tYw2mQz8LxR4vNc7BkD1sFj9PaE6u_U3o"


def keys_of(make: str) -> dict[str, str]:
    maker = {"awkward": awkward, "ordinary": ordinary}[make]
    return {variable: maker(variable[:2].lower()) for variable in KEY_VARIABLES}


def with_password(url: str) -> str:
    return url.replace("@", f":{quote(PASSWORD, safe='')}@")


def environment(home: Path, server_url: str, keys: Mapping[str, str], **more: str) -> dict[str, str]:
    """Nothing of the surrounding process but what a program needs to start."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "TMPDIR", "HOME") if name in os.environ}
    servers = {"OPENAI_BASE_URL": f"{server_url}/v1", "ANTHROPIC_BASE_URL": server_url, "OLLAMA_HOST": server_url}
    return {**kept, **servers, **keys, "LLM_JOBS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), **more}


def llm_jobs(*arguments: object, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("llm-jobs")), *map(str, arguments)]
    return subprocess.run(
        command, env=dict(environment), cwd=environment["LLM_JOBS_HOME"], capture_output=True, text=True, timeout=120
    )
