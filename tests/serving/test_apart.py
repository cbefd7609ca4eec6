"""Many at once, who draw and leave: nobody gets another's picture, or another one for it. Each test prints its figure."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from calling import LONG, Caller, address, asked, new_session, until
from PIL import Image
from server import Server

pytestmark = pytest.mark.full
PROBE = {"preset": "paper-code", "runs": 30}


def pixels(image: Image.Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def drawn(data: list[dict[str, Any]]) -> str:
    """The pixels of what an endpoint has drawn."""
    with Image.open(Path(data[0]["path"])) as image:
        return pixels(image.convert("RGB"))


@pytest.fixture(scope="module")
def alone() -> Iterator[Callable[[int], str]]:
    """The pixels of a seed's quick picture, drawn in this process, where nobody else is: the server would remember it."""
    from reweight.engine.engine import Engine, Picture
    from reweight.engine.request import validate

    engine = Engine(("toy-turbo",))

    def pixels_of(seed: int) -> str:
        names = ("prompt", "model", "low", "high", "schedule", "seed", "steps", "guidance", "negative_prompt")
        request = validate(engine.card("toy-turbo"), **dict(zip(names, asked(seed), strict=True)))
        events = engine.compare(request, engine.chosen(request), ("reweighted",))
        (image,) = [event.image for event in events if isinstance(event, Picture)]
        return pixels(image.convert("RGB"))

    yield pixels_of
    engine.close()


def test_pictures_do_not_depend_on_who_else_draws(public: Server, caller: Caller, alone):
    seeds = range(40_000, 40_160)

    def client(number: int) -> dict[int, str]:
        mine = Caller(public, address(number), new_session())
        own = [*seeds[20 * number : 20 * (number + 1)]]
        random.Random(number).shuffle(own)
        return {seed: drawn(mine.ask("reweight", asked(seed))[1]) for seed in own}

    with ThreadPoolExecutor(8) as pool:
        found = {seed: one for some in pool.map(client, range(8)) for seed, one in some.items()}
    same = sum(found[seed] == alone(seed) for seed in seeds)
    print(f"{same} of 160 the same as drawn alone")
    assert same == 160 and len(set(found.values())) == 160


def test_nobody_sees_anothers_words(public: Server, caller: Caller):
    def client(number: int) -> tuple[str, str]:
        mine, marker = Caller(public, address(number), new_session()), f"marker{number:03d}x"
        event = mine.join("compare", asked(number, f"a cat {marker}")).json()["event_id"]
        said = mine.http.get(f"gradio_api/call/compare/{event}").text
        assert "event: complete" in said
        return marker, said + mine.http.get("config").text

    with ThreadPoolExecutor(10) as pool:
        seen = list(pool.map(client, range(20)))
    foreign = sum(other in text for marker, text in seen for other, _ in seen if other != marker)
    print(f"{foreign} foreign markers")
    assert foreign == 0


def test_a_hundred_who_leave(public: Server, caller: Caller, alone):
    def free() -> bool:
        health = caller.health()
        return not health["places_held"] and not health["running"]

    def left(numbers: range, how: Callable[[Caller, str], None]) -> list[float]:
        took = []
        for number in numbers:
            mine = Caller(public, address(number), new_session())
            how(mine, mine.join("importance", LONG).json()["event_id"])
            took.append(until(free))
            mine.http.close()
        assert drawn(caller.ask("reweight", asked(77_000 + numbers[0]))[1]) == alone(77_000 + numbers[0])
        return took

    def before_a_message(mine: Caller, event: str) -> None:
        with mine.http.stream("GET", f"gradio_api/call/importance/{event}"):
            return

    def while_it_runs(mine: Caller, event: str) -> None:
        with mine.http.stream("GET", f"gradio_api/call/importance/{event}"):
            until(lambda: caller.health()["running"])

    for number in range(34):
        assert Caller(public, address(number), new_session()).join("importance", LONG).status_code == 200
    unheard = until(free)
    early, late = left(range(34, 67), before_a_message), left(range(67, 100), while_it_runs)
    print(
        f"34 who never listened stopped {unheard:.1f} s after the last; 33 who left before a message after {max(early):.2f} s at most, "
        f"33 while it ran after {max(late):.2f} s at most, {sorted(late)[16]:.2f} s as a rule"
    )


def test_fifty_who_stop(public: Server, caller: Caller, alone):
    took = []
    for number in range(50):
        mine = Caller(public, address(number))
        visit = mine.http.post("reweight/begin", json={"query": ""}).json()
        body = {"session": visit["session"], "settings": visit["settings"] | {"seed": number}, "given": PROBE}
        with mine.http.stream("POST", "reweight/importance/probe", json=body) as stream:
            lines = stream.iter_lines()
            next(lines)
            mine.http.post("reweight/stop", json={"session": visit["session"]})
            *_, last = lines
        assert json.loads(last)["kind"] == "stopped"
        took.append(until(lambda: not caller.health()["running"]))
        mine.http.close()
    assert drawn(caller.ask("reweight", asked(78_000))[1]) == alone(78_000)
    print(f"50 of 50 were told that it has stopped; nothing ran after {max(took):.2f} s at most")
