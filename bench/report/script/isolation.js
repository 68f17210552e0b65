/** @type {Set<string>} */
let isolated = new Set();

/** @type {HTMLElement | null} */
let chipsBar = null;

/**
 * Dims what belongs to a series that is not among the isolated ones.
 * @param {ParentNode} root
 */
function applyIsolation(root) {
  for (const part of all(root, "[data-series]:not(.chip)")) {
    part.classList.toggle("dimmed", isolated.size > 0 && !isolated.has(part.dataset.series ?? ""));
  }
}

/**
 * Isolates a series beside those that are isolated already, or no longer.
 * @param {string} series
 */
function toggleSeries(series) {
  const wanted = new Set(isolated);
  if (!wanted.delete(series)) wanted.add(series);
  changeState({ only: [...wanted].map((name) => encodeURIComponent(name)).join(",") });
  announce(wanted.size ? `Highlighted: ${[...wanted].join(", ")}` : "All methods are shown");
}

/** Makes the bar of methods, and isolates methods as the state says. */
function startIsolation() {
  onState((state) => {
    const names = (state.get("only") ?? "").split(",").filter(Boolean).map(unescaped);
    isolated = new Set(names);
    for (const chip of all(document, ".chip")) chip.setAttribute("aria-pressed", String(isolated.has(chip.dataset.series ?? "")));
    for (const reset of all(document, ".chips > .reset")) /** @type {HTMLButtonElement} */ (reset).disabled = !names.length;
    applyIsolation(document);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector("dialog[open]") && !hideTooltip()) changeState({ only: null });
  });
  const names = [...new Set(all(document, "[data-series]").map((part) => part.dataset.series ?? ""))];
  const usual = usualOrder();
  const place = (/** @type {string} */ name) => (usual.indexOf(name) + 1 || usual.length + 1);
  addChips(names.sort((one, other) => place(one) - place(other)));
}

/** Returns the names of all series in their usual order. */
function usualOrder() {
  const order = document.querySelector("[data-series-order]")?.getAttribute("data-series-order");
  return /** @type {string[]} */ (JSON.parse(order ?? "[]"));
}

/**
 * Adds methods to the bar that it does not have yet.
 * @param {string[]} names
 */
function addChips(names) {
  const has = new Set(all(document, ".chip").map((chip) => chip.dataset.series));
  const added = names.filter((name) => name && !has.has(name));
  if (!added.length) return;
  if (!chipsBar) {
    const reset = button("All methods", () => changeState({ only: null }), { class: "reset", disabled: true });
    chipsBar = element("div", { class: "chips", role: "region", "aria-label": "Highlight methods" }, reset);
    document.getElementById("main")?.before(chipsBar);
  }
  for (const name of added) {
    const pressed = String(isolated.has(name));
    const chip = button(name, () => toggleSeries(name), { class: "chip", title: name, "data-series": name, "aria-pressed": pressed });
    chip.style.setProperty("--of-series", colourOf(name));
    chipsBar.append(chip);
  }
}

/**
 * Returns the colour of a series in the drawings, as a value of CSS.
 * @param {string} series
 */
function colourOf(series) {
  const groups = all(document, `.drawing [data-series="${CSS.escape(series)}"]`);
  const colours = groups.map((group) => /(?:fill|stroke)[:="\s]+(var\(--c-(?!ffffff)[^)]*\))/.exec(group.innerHTML)?.[1]);
  return colours.find(Boolean) ?? "var(--soft)";
}
