"""The same work in three styles: callbacks, promises, coroutines.

    python examples/three_styles.py

Three shops are asked for the price of a book, all at the same time. Each is asked twice: first
whether it has the book, then what it costs. One shop is closed, which is an error, and is left
out. The cheapest wins. The shops are functions that call back; nothing else is given.

Read it from the top: each style says the same with less. Each prints what it found, and all three
must find the same. Exit codes: 0 they did, 1 they did not.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import treadle

STOCK = {"Thimble & Co.": 19, "Paper Moon": 14, "The Closed Door": None}
BOOK = "Threads and Looms"
Offer = tuple[int, str]  # the price, and the shop


# what is given: functions that call back, with an error or None, and a result -----------------


def in_stock(shop: str, book: str, callback: Callable[..., object]) -> None:
    """Ask a shop whether it has a book."""
    loop = asyncio.get_running_loop()
    if STOCK[shop] is None:
        loop.call_later(0.01, callback, ConnectionError(f"{shop} is closed"))
    else:
        loop.call_later(0.02, callback, None, f"{book} (hardcover)")


def price(shop: str, edition: str, callback: Callable[..., object]) -> None:
    """Ask a shop for the price of an edition."""
    asyncio.get_running_loop().call_later(0.01, callback, None, STOCK[shop])


# callbacks: every step is a function, and every function looks for errors ---------------------


def cheapest_by_callbacks(callback: Callable[..., object]) -> None:
    offers: list[Offer] = []
    missing = len(STOCK)  # the answers are counted by hand

    def ask(shop: str) -> None:
        def has_it(error: Exception | None, edition: str = "") -> None:
            if error is not None:
                done()  # forget this line, and the program waits for ever
            else:
                price(shop, edition, costs)

        def costs(error: Exception | None, amount: int = 0) -> None:
            if error is None:
                offers.append((amount, shop))
            done()

        in_stock(shop, BOOK, has_it)

    def done() -> None:
        nonlocal missing
        missing -= 1
        if missing == 0:
            if offers:
                callback(None, min(offers))
            else:
                callback(LookupError(f"nobody sells {BOOK}"))

    for shop in STOCK:
        ask(shop)


# promises: the steps are a chain, errors travel along it, counting is done by all_settled -----


def cheapest_by_promises() -> treadle.Promise[Offer]:
    def ask(shop: str) -> treadle.Promise[Offer]:
        return (
            treadle.Promise.from_callback(in_stock, shop, BOOK)
            .then(partial(treadle.Promise.from_callback, price, shop))
            .then(lambda amount: (amount, shop))
        )

    def choose(answers: list[Any]) -> Offer:
        offers: list[Offer] = [one.value for one in answers if one.status == "fulfilled"]
        return min(offers)

    return treadle.Promise.all_settled(map(ask, STOCK)).then(choose)


# coroutines: ordinary code that waits in the middle, with try and except ----------------------


async def cheapest_by_coroutines() -> Offer:
    has_it, costs = treadle.promisify(in_stock), treadle.promisify(price)

    async def ask(shop: str) -> Offer | None:
        try:
            edition = await has_it(shop, BOOK)
            return await costs(shop, edition), shop
        except ConnectionError:
            return None

    offers = await treadle.map_concurrent(ask, STOCK, limit=10)
    return min(offer for offer in offers if offer is not None)


async def main() -> int:
    found = {
        "callbacks": await treadle.promisify(cheapest_by_callbacks)(),
        "promises": await cheapest_by_promises(),
        "coroutines": await cheapest_by_coroutines(),
    }
    for style, (amount, shop) in found.items():
        print(f"{style:<10}  {shop} sells {BOOK} for {amount}")
    return 0 if set(found.values()) == {(14, "Paper Moon")} else 1


if __name__ == "__main__":
    sys.exit(treadle.run(main()))
