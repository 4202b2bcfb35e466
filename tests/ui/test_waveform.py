"""The waveform: peaks, and moving about by it."""

from __future__ import annotations

import random

import pytest
from playwright.sync_api import Page

from tests.ui.modules import run_module
from tests.ui.scripted import ScriptedHome


@pytest.mark.parametrize(
    ("count", "first", "last", "columns"),
    [
        (0, 0, 10, 4),
        (3, 0, 1, 10),
        (1000, 0, 50, 100),
        (1000, 7.3, 9.1, 500),
        (5000, -10, 300, 37),
        (4096, 0, 204.8, 1),
    ],
)
def test_a_column_is_the_loudest_of_its_stretch(
    page: Page, scripted: ScriptedHome, count: int, first: float, last: float, columns: int
) -> None:
    page.goto(scripted.url)
    values = [random.Random(at).randrange(256) for at in range(count)]
    expression = "[...new module.Peaks(Uint8Array.from(given[0]), 20).columns(given[1], given[2], given[3])]"
    step = (last - first) * 20 / columns
    edges = [int((first * 20 + column * step) // 1) for column in range(columns + 1)]
    expected = [
        max(values[max(0, start) : max(0, start + 1, end)], default=0)
        for start, end in zip(edges, edges[1:], strict=False)
    ]
    assert run_module(page, "editor/peaks.js", expression, [values, first, last, columns]) == expected


def test_ten_hours_are_reduced_at_once(page: Page, scripted: ScriptedHome) -> None:
    page.goto(scripted.url)
    expression = """(() => {
        const peaks = new module.Peaks(new Uint8Array(720000).fill(9), 20);
        const began = performance.now();
        for (let at = 0; at < 100; at++) peaks.columns(at, 36000 - at, 2400);
        return (performance.now() - began) / 100;
    })()"""
    assert run_module(page, "editor/peaks.js", expression) < 8  # half of a frame, on a busy machine
