"""What the crawler crawls."""

from __future__ import annotations

import asyncio
import re

from bench.applications import Website

PAGES = 300


def website(seed=1):
    async def make():
        return Website(PAGES, 0.02, seed)

    site = asyncio.run(make())
    return [site.page(number) for number in range(PAGES)]


def test_a_website_is_the_same_at_each_start():
    assert website() == website()
    assert website() != website(seed=2)


def test_every_page_can_be_reached_from_the_first():
    pages = website()
    seen, line = {0}, [0]
    while line:
        _, response = pages[line.pop()]
        links = {int(link) for link in re.findall(rb'href="/(\d+)"', response)}
        line += links - seen
        seen |= links
    assert seen == set(range(PAGES))


def test_no_page_takes_longer_than_the_longest():
    assert all(0 <= delay <= 0.02 for delay, _ in website())
