"""Modules of the page without its views: what their functions return, in the browser that runs them."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page


def run_module(page: Page, module: str, expression: str, given: Any = None) -> Any:
    """The value of an expression in a page that is open.

    Args:
        page: of the server whose module it is.
        module: its path below `scripts/`; the expression knows it as `module`.
        expression: JavaScript; it may await.
        given: what the expression knows as `given`.
    """
    script = f"""async (given) => {{
        const module = await import(new URL("page/static/scripts/{module}", document.baseURI));
        return {expression};
    }}"""
    return page.evaluate(script, given)
