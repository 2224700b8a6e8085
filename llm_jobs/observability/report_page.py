"""A report as one HTML page that needs nothing else and can do nothing else. Written as a stream; rows are read once.

The page's policy names its one script and its one style sheet by their SHA-256 and forbids everything beside: no
request leaves it, no other script runs, no other style applies, whatever an answer holds. Style attributes are
forbidden with that, so there are none.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

from llm_jobs.observability.rendered import escaped
from llm_jobs.observability.report_model import Group, Report, ReportedJob
from llm_jobs.observability.report_rows import badge, row_html


def page(report: Report) -> Iterator[bytes]:
    """The page in pieces, UTF-8."""
    names = [job.name for job in report.jobs]
    yield _opening(" and ".join(names)).encode()
    yield _head(report).encode()
    yield _controls(report).encode()
    columns = "two" if len(report.jobs) > 1 else "one"
    yield f'<main id="rows" class="{columns}">\n'.encode()
    for row in report.rows:
        yield row_html(row, names).encode()
    yield f"</main>\n<script>{_script()}</script>\n</body>\n</html>\n".encode()


def policy() -> str:
    """The page's Content-Security-Policy."""
    allowed = f"script-src {_digest(_script())}; style-src {_digest(_style())}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def _style() -> str:
    return Path(__file__).with_name("report.css").read_text(encoding="utf-8")


@functools.cache
def _script() -> str:
    return Path(__file__).with_name("report.js").read_text(encoding="utf-8")


def _opening(title: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">\n'
        '<meta name="referrer" content="no-referrer">\n<meta http-equiv="x-dns-prefetch-control" content="off">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)} · llm-jobs</title>\n<style>{_style()}</style>\n</head>\n<body>\n"
    )


def _head(report: Report) -> str:
    jobs = "".join(map(_job, report.jobs))
    notes = "".join(f'<p class="note">{escaped(note)}</p>' for note in report.notes)
    plots = "".join(f"<figure>{plot}</figure>" for plot in report.plots)
    return f'<header><div class="jobs">{jobs}</div>{notes}<div class="plots">{plots}</div></header>\n'


def _job(job: ReportedJob) -> str:
    figures = "".join(f"<div><b>{escaped(text)}</b><span>{escaped(name)}</span></div>" for name, text in job.figures)
    details = "".join(f'<dt>{escaped(name)}</dt><dd dir="auto">{escaped(text)}</dd>' for name, text in job.details)
    return (
        f'<article><h1 dir="auto">{escaped(job.name)} {badge(job.status)}</h1>'
        f'<p class="hash">{escaped(job.job_hash)}</p>'
        f'<div class="tiles">{figures}</div><dl>{details}</dl></article>'
    )


def _controls(report: Report) -> str:
    chips = "".join(map(_chip, report.groups))
    hidden = sum(group.rows - group.shown for group in report.groups)
    missing = (
        f'<p class="note">{hidden:,} rows are not shown: each group has its first rows only.</p>' if hidden else ""
    )
    orders = "".join(f"<option>{name}</option>" for name in ("as listed", "row", "tokens", "cost", "latency"))
    return (
        f'<nav hidden>{chips}<input type="search" placeholder="search the rows" aria-label="search the rows">'
        f'<label>sort by <select>{orders}</select></label><button type="button">open all</button>'
        f'<output aria-live="polite"></output></nav>{missing}\n'
    )


def _chip(group: Group) -> str:
    shown = f"{group.rows:,}" if group.rows == group.shown else f"{group.shown:,} of {group.rows:,}"
    return (
        f'<label class="chip"><input type="checkbox" checked value="{escaped(group.name)}">'
        f"{badge(group.name)} {shown}</label>"
    )
