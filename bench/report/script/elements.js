"use strict";

/**
 * Returns a new element. Attributes that are `true` are set without a value, those that are `false` are left out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number | boolean>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/**
 * Returns a button.
 * @param {string} text
 * @param {(made: HTMLButtonElement) => void} act is called when it is pressed.
 * @param {Record<string, string | number | boolean>} [attributes]
 */
function button(text, act, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", () => act(made));
  return made;
}

/**
 * Returns the elements in `root` that a selector finds.
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {HTMLElement[]}
 */
function all(root, selector) {
  return [...root.querySelectorAll(selector)].map((found) => /** @type {HTMLElement} */ (found));
}

/**
 * Returns the closest element around an event's target that a selector finds.
 * @param {EventTarget | null} target
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
function closest(target, selector) {
  return target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest(selector)) : null;
}

const statusLine = element("div", { role: "status", "aria-live": "polite", class: "hidden" });

/**
 * Says something to users of screen readers.
 * @param {string} text
 */
function announce(text) {
  statusLine.textContent = text;
}
