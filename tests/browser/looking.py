"""What tests of the page look at and touch."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page

METHODS = ("vanilla", "reweighted", "freeu")


def has_drawn(page: Page) -> None:
    """Wait until all three pictures are there and the status says so."""
    page.wait_for_function(
        """() => ['vanilla', 'reweighted', 'freeu'].every(
             (method) => document.querySelector(`#image-${method} img`)?.naturalWidth > 0)
             && document.querySelector('#status').textContent.includes('Importance:')"""
    )


def src(page: Page, method: str) -> str:
    """The address of a method's picture."""
    return page.locator(f"#image-{method} img").get_attribute("src")


def wait_for_other(page: Page, method: str, before: str) -> None:
    """Wait until a method's picture is not the one before."""
    page.wait_for_function(
        "([method, before]) => document.querySelector(`#image-${method} img`)?.src !== before",
        arg=[method, before],
    )


def wait_until_dimmed(page: Page, methods: tuple[str, ...]) -> None:
    """Wait until the pictures of just these methods are dimmed."""
    page.wait_for_function(
        """(dimmed) => ['vanilla', 'reweighted', 'freeu'].every((method) =>
             getComputedStyle(document.querySelector(`#image-${method}`)).opacity < 1 === dimmed.includes(method))""",
        arg=methods,
    )


def query_of(page: Page) -> dict[str, str]:
    """The settings in the page's address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def weights(page: Page, panel: str = "#heat-weights") -> list[str]:
    """The numbers in a heatmap."""
    return page.locator(f"{panel} .rw-cell .rw-number").all_text_contents()


def number(page: Page, control: str) -> Locator:
    """The box of a number."""
    return page.locator(f"#{control} input[type=number]")


def drag(page: Page, control: str, share: float) -> None:
    """Take the slider's thumb to a share of its way."""
    slider = page.locator(f"#{control} input[type=range]")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    low, high, value = float(slider.get_attribute("min")), float(slider.get_attribute("max")), slider.input_value()
    at = (float(value) - low) / (high - low)
    y = box["y"] + box["height"] / 2
    inset = 8  # half a thumb
    reach = box["width"] - 2 * inset
    page.mouse.move(box["x"] + inset + reach * at, y)
    page.mouse.down()
    page.mouse.move(box["x"] + inset + reach * (at + share) / 2, y, steps=3)
    page.mouse.move(box["x"] + inset + reach * share, y, steps=3)
    page.mouse.up()


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
            [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
          if (!texts.length) return 0;
          return Math.min(...texts.map((element) => {
            const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
          }));
        }""",
        selector,
    )
