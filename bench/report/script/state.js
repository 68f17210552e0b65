/**
 * What the address says after its `#`: parts joined by `&`, `NAME=VALUE` each, of which the one without a name is the
 * identifier of an element, under the key `at`. A link that is copied restores the page, and so does the back button.
 * @typedef {Map<string, string>} PageState
 */

/** @type {PageState} */
let pageState = new Map();

/** @type {((state: PageState) => void)[]} */
const stateListeners = [];

/** @type {((state: PageState) => PageState)[]} what further scripts read in an address */
const stateReaders = [];

/**
 * Returns the state that a hash stands for.
 * @param {string} hash
 * @returns {PageState}
 */
function stateOf(hash) {
  const state = new Map();
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [name, ...value] = part.split("=");
    if (part) state.set(value.length ? unescaped(name) : "at", unescaped(value.length ? value.join("=") : name));
  }
  return stateReaders.reduce((read, reader) => reader(read), state);
}

/**
 * Returns the hash of a state.
 * @param {PageState} state
 */
function hashOf(state) {
  const escaped = (/** @type {string} */ text) => encodeURIComponent(text).replace(/%(?:2C|3A|2F)/g, (code) => HARMLESS[code]);
  const parts = [...state].map(([name, value]) => (name === "at" ? escaped(value) : `${escaped(name)}=${escaped(value)}`));
  return parts.length ? `#${parts.join("&")}` : "";
}

/** @type {Record<string, string>} */
const HARMLESS = { "%2C": ",", "%3A": ":", "%2F": "/" };

/**
 * Returns what an escaped text stands for; the text itself if it is not escaped well.
 * @param {string} text
 */
function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Changes the state and the address, and tells all listeners.
 * @param {Record<string, string | null>} changes values of keys; null or the empty text removes a key.
 * @param {boolean} [replace] whether the back button passes over this change.
 */
function changeState(changes, replace = false) {
  const changed = new Map(pageState);
  for (const [name, value] of Object.entries(changes)) {
    if (value) changed.set(name, value);
    else changed.delete(name);
  }
  const hash = hashOf(changed);
  if (hash === hashOf(pageState)) return;
  const address = hash || location.href.split("#")[0];
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  applyState(changed);
}

/** @param {PageState} state */
function applyState(state) {
  pageState = state;
  for (const listener of stateListeners) listener(state);
}

/**
 * Calls `listener` with the state now and whenever it changes.
 * @param {(state: PageState) => void} listener
 */
function onState(listener) {
  stateListeners.push(listener);
  listener(pageState);
}

/** Follows the back button and links within the page. */
function followAddress() {
  const follow = () => {
    const state = stateOf(location.hash);
    if (hashOf(state) !== hashOf(pageState)) applyState(state);
  };
  window.addEventListener("popstate", follow);
  window.addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => {
    const link = closest(event.target, "a[href^='#']");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const wanted = stateOf(link.getAttribute("href") ?? "");
    changeState({ ...(wanted.has("at") && { cell: null }), ...Object.fromEntries(wanted) });
    goTo(wanted.get("at"));
  });
}

/**
 * Scrolls to an element and puts the focus there.
 * @param {string | undefined} id
 */
function goTo(id) {
  const target = id === undefined ? null : document.getElementById(id);
  if (!target) return;
  if (!target.hasAttribute("tabindex")) target.setAttribute("tabindex", "-1");
  for (let around = target.parentElement; around; around = around.parentElement) {
    if (around instanceof HTMLDetailsElement) around.open = true;
  }
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

/**
 * Returns the address within the page of the cell with an id.
 * @param {string} id
 */
function linkTo(id) {
  return `#cell=${encodeURIComponent(id)}`;
}
