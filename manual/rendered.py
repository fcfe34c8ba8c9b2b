#!/usr/bin/env python3
"""Looks at the rendered documentation: the front page and the manual, 1280 pixels wide.

    just docs && pip install playwright && python3 manual/rendered.py target/doc/countersign [SCREENSHOTS]

Fails for a broken link or anchor, a line that is cut, and a paragraph or list item of more than eight lines.
Needs Chromium (CHROMIUM names it, /usr/bin/chromium by default) and cargo's documentation with all features.
"""

import os
import pathlib
import re
import sys
from urllib.parse import unquote, urlparse

from playwright.sync_api import sync_playwright

LINES = 8
LOOK = """(most) => {
    const found = {long: [], cut: [], links: []};
    const start = element => element.innerText.trim().slice(0, 70);
    const height = style => parseFloat(style.lineHeight) || 1.2 * parseFloat(style.fontSize);
    for (const element of document.querySelectorAll('.docblock p, .docblock li')) {
        if (element.tagName === 'LI' && element.querySelector('p, ul, ol')) continue;
        const style = getComputedStyle(element);
        const padding = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
        const lines = Math.round((element.getBoundingClientRect().height - padding) / height(style));
        if (lines > most) found.long.push(`${lines} lines: ${start(element)}`);
    }
    for (const element of document.querySelectorAll('.docblock :is(pre, code, table, td, p, li, h1, h2, h3)')) {
        const isInline = getComputedStyle(element).display === 'inline';
        if (!isInline && element.scrollWidth > element.clientWidth + 1)
            found.cut.push(`${element.tagName} ${element.scrollWidth} > ${element.clientWidth}: ${start(element)}`);
    }
    const page = document.documentElement;
    if (page.scrollWidth > window.innerWidth + 1) found.cut.push(`the page is ${page.scrollWidth} wide`);
    for (const link of document.querySelectorAll('main a[href]')) found.links.push(link.href);
    return found;
}"""


def anchors(page, known={}):
    if page not in known:
        known[page] = set(re.findall(r'id="([^"]+)"', page.read_text()))
    return known[page]


def broken(link):
    """Why a link leads nowhere, if it does."""
    url = urlparse(link)
    if url.scheme != "file":
        return None
    target = pathlib.Path(unquote(url.path))
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return "no such page"
    is_source = target.name.endswith(".rs.html")  # its lines are made by a script
    if url.fragment and not is_source and unquote(url.fragment) not in anchors(target):
        return "no such anchor"
    return None


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    screenshots = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    pages = [root / "index.html", root / "manual/index.html", *sorted(root.glob("manual/*/index.html"))]
    problems = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        for page in pages:
            tab.goto(page.as_uri())
            tab.evaluate("document.fonts.ready")
            found = tab.evaluate(LOOK, LINES)
            name = page.relative_to(root)
            bad = [f"long: {text}" for text in found["long"]] + [f"cut: {text}" for text in found["cut"]]
            bad += [f"link: {link}: {why}" for link in sorted(set(found["links"])) if (why := broken(link))]
            for text in bad:
                print(f"{name}: {text}")
            problems += len(bad)
            if screenshots:
                screenshots.mkdir(parents=True, exist_ok=True)
                tab.screenshot(path=screenshots / f"{str(name).replace('/', '_')}.png", full_page=True)
        browser.close()
    print(f"{len(pages)} pages, {problems} problems")
    return problems > 0


sys.exit(main())
