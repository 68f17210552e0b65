"""What a page in the browser is checked for: sizes of letters, texts upon each other, accessibility."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

PAPER = 688  # pixels: A4 without its margins
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
# The elements with text of their own, and the size of their letters in pixels on the screen. In a drawing it follows
# from the transformation to the screen.
SIZES = """() => [...document.querySelectorAll('body *')]
  .filter(e => !e.closest('script, style, noscript, .hidden, .skip') && e.getClientRects().length)
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
  .map(e => {
    const {a, b} = e.closest('svg') ? e.getScreenCTM() : {a: 1, b: 0};
    return [parseFloat(getComputedStyle(e).fontSize) * Math.hypot(a, b), e.textContent];
  })"""
# Pairs of texts that overlap by more than a pixel in both directions. The box of a text is that of its letters.
OVERLAPS = """() => {
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    const around = text.parentElement;
    if (!text.data.trim() || around.closest('script, style, noscript, .hidden') || !around.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const box of range.getClientRects()) boxes.push([box, text.data.trim().slice(0, 40)]);
  }
  const overlaps = [];
  boxes.sort((one, other) => one[0].top - other[0].top);
  boxes.forEach(([one, text], place) => {
    for (const [other, another] of boxes.slice(place + 1)) {
      if (other.top > one.bottom - 1) break;
      if (Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1
          && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 3) overlaps.push([text, another]);
    }
  });
  return [boxes.length, overlaps];
}"""

# The words of visible tables that stand on two lines, and the number of all; a line may end after a hyphen.
BROKEN = """() => {
  const broken = [];
  let count = 0;
  for (const table of document.querySelectorAll('table')) {
    const walker = document.createTreeWalker(table, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode;
      if (text.parentElement.closest('.hidden') || !text.parentElement.checkVisibility()) continue;
      for (const word of text.data.matchAll(/[^\\s-]+/g)) {
        const range = document.createRange();
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        count += 1;
        if (range.getClientRects().length > 1) broken.push(word[0]);
      }
    }
  }
  return [count, broken];
}"""


def small_texts(page: Page) -> list[str]:
    """Returns the visible texts whose letters have less than 12 pixels."""
    sizes = page.evaluate(SIZES)
    assert len(sizes) > 100
    return [text for size, text in sizes if size < 11.99]


def overlapping_texts(page: Page) -> list[tuple[str, str]]:
    """Returns the visible texts that are upon other texts, in pairs."""
    count, overlaps = page.evaluate(OVERLAPS)
    assert count > 60
    return [(one, other) for one, other in overlaps]


def broken_words(page: Page) -> list[str]:
    """Returns the words of visible tables that are broken between two letters."""
    count, broken = page.evaluate(BROKEN)
    assert count > 60
    return list(broken)


def violations(page: Page) -> list[tuple[str, str, list[Any]]]:
    """Returns the rules of axe-core that the page violates, but for those of minor impact."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)  # the transition of dimmed parts
    found = page.evaluate("axe.run({resultTypes: ['violations']}).then(result => result.violations)")
    return [
        (rule["id"], rule["impact"], [node["html"][:200] for node in rule["nodes"][:5]])
        for rule in found
        if rule["impact"] != "minor"
    ]
