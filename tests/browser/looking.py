"""What tests of the page look at and touch."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page

FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
]
POLLING = 50  # milliseconds between looks; at each frame, the browser would draw frames for nothing else
METHODS = ("vanilla", "reweighted", "freeu")
SEED = 7


def has_drawn(page: Page) -> None:
    """Wait until every picture of the grid is there and nothing is under way."""
    page.wait_for_function(
        """() => { const images = [...document.querySelectorAll('#pictures img')];
             return images.length && images.every((image) => image.naturalWidth > 0)
               && !document.body.classList.contains('rw-drawing')
               && !document.querySelector('.rw-stale') && !document.querySelector('#status .rw-bar'); }""",
        polling=POLLING,
    )


def picture(page: Page, column: str, seed: int = SEED) -> Locator:
    """The picture of a column and a seed."""
    return page.locator(f'figure[data-id="{column} {seed}"] img')


def src(page: Page, column: str, seed: int = SEED) -> str:
    """The address of a picture, which is another for each drawing."""
    return picture(page, column, seed).get_attribute("src")


def sources(page: Page) -> dict[str, str]:
    """The addresses of the three usual pictures."""
    return {column: src(page, column) for column in METHODS}


def png(page: Page, column: str, seed: int = SEED) -> bytes:
    """The bytes of a picture."""
    return bytes(
        page.evaluate(
            "async (url) => [...new Uint8Array(await (await fetch(url)).arrayBuffer())]", src(page, column, seed)
        )
    )


def wait_for_other(page: Page, column: str, before: str, seed: int = SEED) -> None:
    """Wait until a picture is not the one before."""
    page.wait_for_function(
        "([id, before]) => { const now = document.querySelector(`figure[data-id='${id}'] img`)?.src; return now && now !== before; }",
        arg=[f"{column} {seed}", before],
        polling=POLLING,
    )


def query_of(page: Page) -> dict[str, str]:
    """The settings in the page's address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query, keep_blank_values=True).items()}


def wait_for_query(page: Page, name: str, value: str | None) -> None:
    """Wait until the address has a setting, or None: has it no longer."""
    page.wait_for_function(
        "([name, value]) => new URLSearchParams(location.search).get(name) === value",
        arg=[name, value],
        polling=POLLING,
    )


def weights(page: Page) -> list[str]:
    """The numbers in the heatmap of weights."""
    return page.locator("#heat-weights .rw-cell .rw-number").all_text_contents()


def block(page: Page, index: int) -> Locator:
    """A block of the U-Net."""
    return page.locator(f'#unet .rw-block[data-block="{index}"]')


def cell(page: Page, row: int, column: int) -> Locator:
    """A cell of the heatmap of weights."""
    return page.locator(f'#heat-weights .rw-cell[data-row="{row}"][data-column="{column}"]')


def number(page: Page, control: str) -> Locator:
    """The box of a number."""
    return page.locator(f"#{control} input[type=number]")


def slide(page: Page, control: str, key: str, times: int = 1) -> None:
    """Move a slider by keys."""
    page.locator(f"#{control} input[type=range]").focus()
    for _ in range(times):
        page.keyboard.press(key)


def in_colours(page: Page, scheme: str) -> None:
    """Wait until the page is in the colours of a scheme, light or dark."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(
        "(dark) => document.body.classList.contains('dark') === dark", arg=scheme == "dark", polling=POLLING
    )
    page.evaluate(
        "() => Promise.all(document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime < Infinity).map((one) => one.finished.catch(() => {})))"
    )


def contrast(page: Page, selector: str) -> float:
    """The least contrast of the texts in an element with what is behind them, as WCAG counts it."""
    return page.evaluate(
        """(selector) => {
          const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
          const rgba = (color) => {
            canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
          };
          const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const behind = (element) => {
            for (let node = element; node; node = node.parentElement) {
              const color = rgba(getComputedStyle(node).backgroundColor);
              if (color[3] === 255) return color;
            }
            return [255, 255, 255];
          };
          const texts = [...document.querySelectorAll(`${selector}, ${selector} *`)].filter((element) =>
            element.checkVisibility?.() !== false
            && [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
          if (!texts.length) return 0;
          return Math.min(...texts.map((element) => {
            const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
          }));
        }""",
        selector,
    )
