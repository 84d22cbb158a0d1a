"""Chromium loads a page from the app; the page's script tries what pages do and says how it went."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from case_uvicorn import start
from harness import Context, Failed, Link, check, equal

LIMIT = 60.0


def run(context: Context) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise Failed("chromium is not installed")
    with context.link(start(context)) as link:
        results: dict[str, dict[str, object]] = {}
        context.step("page", lambda: load(link, browser, results), LIMIT)
        for name, result in results.items():
            context.step(name, lambda r=result: said(r))


def load(link: Link, browser: str, results: dict[str, dict[str, object]]) -> str:
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    options = [*sandbox, "--no-proxy-server", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=options)
        try:
            page = chromium.new_page()
            complaints: list[str] = []
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
            answer = page.goto(link.url("/"))
            check(answer is not None and answer.status == 200, "no page")
            page.wait_for_function("document.title === 'done'", timeout=50_000)
            # It stays after the run, to be looked at.
            screenshot = Path(tempfile.gettempdir()) / "steve-chromium.png"
            page.screenshot(path=screenshot, full_page=True)
            results.update(page.evaluate("results"))
            # The page itself ends the event stream; Chromium calls that a failed request.
            rest = [text for text in complaints if "/events?count=1000" not in text]
            equal(rest, [], "complaints of the browser")
            return f"Chromium {chromium.version}, screenshot in {screenshot}"
        finally:
            chromium.close()


def said(result: dict[str, object]) -> str:
    check(result["ok"], str(result["measured"]))
    return str(result["measured"])
