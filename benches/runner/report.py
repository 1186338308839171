"""Medians over the rounds, ratios within a round, a table and the goals."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Rounds = list[dict[str, Any]]
Figure = Callable[[dict[str, Any], dict[str, Any]], float | None]

REFERENCE = "pass"


def dig(result: dict[str, Any] | None, *keys: str) -> float | None:
    """The number under `keys`, or nothing."""
    found: Any = result
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def at(*keys: str) -> Figure:
    """A figure as measured."""
    return lambda result, _: dig(result, *keys)


def added(*keys: str) -> Figure:
    """A figure less what the mock alone takes in the same round."""

    def figure(result: dict[str, Any], direct: dict[str, Any]) -> float | None:
        through, alone = dig(result, *keys), dig(direct, *keys)
        return None if through is None or alone is None else through - alone

    return figure


def added_translated_first(quantile: str) -> Figure:
    """First token through the other API, less what the same API alone takes: the mock answers both alike."""

    def figure(result: dict[str, Any], direct: dict[str, Any]) -> float | None:
        through, alone = dig(result, "first-translated-stream", quantile), dig(direct, "first-stream", quantile)
        return None if through is None or alone is None else through - alone

    return figure


def starts(key: str) -> Figure:
    """The median over the starts of a round."""

    def figure(result: dict[str, Any], _: dict[str, Any]) -> float | None:
        times = [start[key] for start in result.get("starts", []) if key in start]
        return statistics.median(times) if times else None

    return figure


def mb(*keys: str) -> Figure:
    """KiB as MB of 1,000,000 bytes."""

    def figure(result: dict[str, Any], _: dict[str, Any]) -> float | None:
        kib = dig(result, *keys)
        return None if kib is None else kib * 1024 / 1e6

    return figure


@dataclass(frozen=True)
class Row:
    """One line of the table. `against` names the row of the bare proxy that the ratio is taken to: its own, or the plain one
    for a translation, which the bare proxy cannot do. `direct`: whether the figure means anything for the mock alone."""

    key: str
    title: str
    unit: str
    figure: Figure
    against: str | None = None
    digits: int = 1
    direct: bool = False


ROWS = [
    Row("2k", "2 KB request, CPU", "µs", at("2k", "cpu_us"), "2k"),
    Row("100k", "100 KB request, CPU", "µs", at("100k", "cpu_us"), "100k"),
    Row("event", "streamed event, CPU", "µs", at("stream", "cpu_us"), "event"),
    Row("t2k", "2 KB translated, CPU", "µs", at("translated-2k", "cpu_us"), "2k"),
    Row("t100k", "100 KB translated, CPU", "µs", at("translated-100k", "cpu_us"), "100k"),
    Row("tevent", "translated event, CPU", "µs", at("translated-stream", "cpu_us"), "event"),
    Row("per_s", "2 KB requests per second, one core", "", at("2k", "per_s"), "per_s", 0, True),
    Row("p50", "added latency p50, 500/s", "µs", added("rate", "p50"), "p50", 0),
    Row("p99", "added latency p99, 500/s", "µs", added("rate", "p99"), "p99", 0),
    Row("first50", "added time to first token p50", "µs", added("first-stream", "p50"), "first50", 0),
    Row("first99", "added time to first token p99", "µs", added("first-stream", "p99"), "first99", 0),
    Row("tfirst50", "the same p50, translated", "µs", added_translated_first("p50"), "first50", 0),
    Row("tfirst99", "the same p99, translated", "µs", added_translated_first("p99"), "first99", 0),
    Row("rss_idle", "RSS idle", "MB", mb("rss_idle_kb"), "rss_idle"),
    Row("rss_loaded", "RSS after load", "MB", mb("rss_loaded_kb"), "rss_loaded"),
    Row("rss_held", "RSS with 1,000 open streams", "MB", mb("held-stream", "rss_kb"), "rss_held"),
    Row("kb_stream", "memory for each open stream", "KiB", at("held-stream", "kb_per_stream"), "kb_stream"),
    Row("kb_tstream", "memory for each translated stream", "KiB", at("held-translated-stream", "kb_per_stream"), "kb_stream"),
    Row("ready", "start to the first 200", "ms", starts("ready_ms"), "ready"),
    Row("listening", "start to `listening app`", "ms", starts("listening_ms"), "ready"),
    Row("size", "binary", "MB", mb("binary_kb"), "size"),
]


@dataclass(frozen=True)
class Goal:
    """A bound on a row: on its ratio to the bare proxy, or on the figure itself."""

    row: str
    bound: float
    ratio: bool


GOALS = [
    Goal("2k", 1.25, True),
    Goal("100k", 1.6, True),
    Goal("event", 1.1, True),
    Goal("t2k", 2.0, True),
    Goal("t100k", 2.0, True),
    Goal("tevent", 2.0, True),
    Goal("first50", 1.2, True),
    Goal("rss_idle", 8, False),
    Goal("kb_stream", 45, False),
    Goal("ready", 20, False),
    Goal("size", 8, False),
]


def summarise(rounds: Rounds, names: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """entry -> row -> {median, min, max, ratio}. A ratio is the median of the ratios of the single rounds, so that a slow
    quarter of an hour of the machine falls on both sides of each."""
    figures = {row.key: row.figure for row in ROWS}
    summary: dict[str, dict[str, dict[str, float]]] = {name: {} for name in names}
    for name in names:
        for row in ROWS:
            values, ratios = [], []
            for results in rounds:
                direct = results.get("direct", {})
                if name not in results or (name == "direct" and not row.direct):
                    continue
                value = row.figure(results[name], direct)
                if value is None:
                    continue
                values.append(value)
                base = figures[row.against](results.get(REFERENCE, {}), direct) if row.against else None
                if base is not None and base > 0:
                    ratios.append(value / base)
            if values:
                cell = {"median": statistics.median(values), "min": min(values), "max": max(values)}
                if ratios:
                    cell["ratio"] = statistics.median(ratios)
                summary[name][row.key] = cell
    return summary


def table(summary: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures in Markdown: for each entry the median and, in brackets, the ratio to the bare proxy."""
    names = list(summary)
    lines = ["| | unit | " + " | ".join(names) + " |", "|---|---|" + "---:|" * len(names)]
    for row in ROWS:
        cells = [cell_text(summary[name].get(row.key), row, name) for name in names]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {row.title} | {row.unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell_text(cell: dict[str, float] | None, row: Row, name: str) -> str:
    if cell is None:
        return "–"
    text = f"{cell['median']:,.{row.digits}f}"
    return f"{text} ({cell['ratio']:.2f}×)" if "ratio" in cell and name != REFERENCE else text


def goals(summary: dict[str, dict[str, dict[str, float]]], measured: list[str]) -> tuple[str, list[str]]:
    """The goals in Markdown, and what was missed or not measured, in words."""
    rows = {row.key: row for row in ROWS}
    lines = ["| goal | " + " | ".join(measured) + " |", "|---|" + "---|" * len(measured)]
    missed = []
    for goal in GOALS:
        row = rows[goal.row]
        digits, unit = (2, "×") if goal.ratio else (1, f" {row.unit}")
        title = f"{row.title} ≤ {goal.bound:g}{unit}"
        cells = []
        for name in measured:
            value = dig(summary[name], goal.row, "ratio" if goal.ratio else "median")
            if value is None:
                verdict, shown = "MISS", "not measured"
            else:
                verdict, shown = ("PASS" if value <= goal.bound else "MISS"), f"{value:,.{digits}f}{unit}"
            if verdict == "MISS":
                missed.append(f"{name}: {title}: {shown}")
            cells.append(f"{verdict} {shown}")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines), missed
