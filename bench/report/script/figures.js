const MOST_TABS = 5;

/** Starts all figures of the page. */
function startFigures() {
  for (const figure of all(document, "figure.figure")) startFigure(figure);
}

/**
 * Returns the views of a figure, the packed ones included, in order.
 * @param {HTMLElement} figure
 */
function viewsOf(figure) {
  return all(figure, ":scope > [data-view]");
}

/**
 * Makes one view of a figure visible at a time, and gives the figure its buttons.
 * @param {HTMLElement} figure
 */
function startFigure(figure) {
  const views = viewsOf(figure);
  const names = views.map((view) => view.dataset.view ?? "");
  if (!names.length) return;
  const choice = `view.${figure.id}`;
  const mode = `show.${figure.id}`;
  const choose = (/** @type {string} */ name) => changeState({ [choice]: name === names[0] ? null : name });
  const chooser = chooserOf(figure, views, choose);
  const shows = ["Chart", "Table"].map((text) =>
    button(text, () => changeState({ [mode]: text === "Table" ? "table" : null }), { "aria-pressed": text === "Chart" }));
  const file = (/** @type {string} */ ending) => `${pageStem()}-${figure.id}-${shownView(figure)?.dataset.view}.${ending}`;
  const saves = [
    saveButton(figure, "CSV", (view) => save(file("csv"), csvOfView(view), "text/csv")),
    saveButton(figure, "SVG", (view) => save(file("svg"), svgOfView(view), "image/svg+xml")),
    saveButton(figure, "PNG", async (view) => save(file("png"), await pngOf(svgOfView(view)))),
  ];
  const bar = element("div", { class: "toolbar" });
  if (names.length > 1) bar.append(chooser.made);
  bar.append(
    element("div", { class: "group", role: "group", "aria-label": "Show as" }, ...shows),
    element("div", { class: "group files", role: "group", "aria-label": "Save as" }, ...saves),
  );
  views[0].before(bar);
  onState((state) => {
    const wanted = state.get(choice) ?? "";
    const name = names.includes(wanted) ? wanted : names[0];
    const asTable = state.get(mode) === "table";
    chooser.show(name);
    shows.forEach((pressed, place) => pressed.setAttribute("aria-pressed", String(asTable === (place === 1))));
    void showView(figure, name, asTable);
  });
}

/**
 * Returns what chooses a view: a few buttons, or a list.
 * @param {HTMLElement} figure
 * @param {HTMLElement[]} views
 * @param {(name: string) => void} choose
 */
function chooserOf(figure, views, choose) {
  const label = figure.dataset.choice ?? "";
  const choices = views.map((view) => [view.dataset.view ?? "", view.dataset.choice ?? ""]);
  if (views.length <= MOST_TABS && choices.every(([, text]) => text.length < 24)) {
    const tabs = choices.map(([name, text]) => button(text, () => choose(name), { "data-for": name }));
    const show = (/** @type {string} */ name) => tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab.dataset.for === name)));
    return { made: element("div", { class: "group chooser", role: "group", "aria-label": label }, ...tabs), show };
  }
  const list = element("select", {}, ...choices.map(([name, text]) => element("option", { value: name }, text)));
  list.addEventListener("change", () => choose(list.value));
  const show = (/** @type {string} */ name) => void (list.value = name);
  return { made: element("label", { class: "chooser" }, label, list), show };
}

/**
 * @param {HTMLElement} figure
 * @param {string} text
 * @param {(view: HTMLElement) => void | Promise<void>} act
 */
function saveButton(figure, text, act) {
  return button(text, () => {
    const view = shownView(figure);
    if (view) void act(view);
  }, { "aria-label": `Save as ${text}` });
}

/**
 * Returns the view of a figure that is visible.
 * @param {HTMLElement} figure
 */
function shownView(figure) {
  return viewsOf(figure).find((view) => view.matches(".view:not([hidden])"));
}

/**
 * Shows a view, as chart or as table.
 * @param {HTMLElement} figure
 * @param {string} name
 * @param {boolean} asTable
 */
async function showView(figure, name, asTable) {
  figure.dataset.wanted = name;
  for (const view of viewsOf(figure)) {
    if (view.dataset.view === name && view instanceof HTMLScriptElement) await unpack(figure, view);
  }
  if (figure.dataset.wanted !== name) return;  // another was chosen meanwhile
  for (const view of all(figure, ":scope > .view")) {
    view.hidden = view.dataset.view !== name;
    if (view.hidden) continue;
    if (!view.dataset.started) startMarks(view);
    view.dataset.started = "yes";
    const drawing = /** @type {HTMLElement | null} */ (view.querySelector(".drawing"));
    if (drawing) drawing.hidden = asTable;
    if (asTable && !view.querySelector(".numbers-shown")) {
      view.append(tableOfView(view));
      startTables(view);
    }
    const table = /** @type {HTMLElement | null} */ (view.querySelector(".numbers-shown"));
    if (table) table.hidden = !asTable;
    makeReachable(view);
    applyIsolation(view);
  }
}

/**
 * Puts a packed view in its place.
 * @param {HTMLElement} figure
 * @param {HTMLScriptElement} packed
 */
async function unpack(figure, packed) {
  const markup = await inflated(packed.textContent ?? "");
  if (!packed.isConnected) return;
  const name = packed.dataset.view ?? "";
  const view = element("div", { class: "view", id: `${figure.id}.${name}`, "data-view": name, "data-choice": packed.dataset.choice ?? "" });
  view.innerHTML = markup;
  packed.replaceWith(view);
  addChips([...new Set(all(view, "[data-series]").map((part) => part.dataset.series ?? ""))]);
}

/**
 * Returns a state in which the identifier of a view, `FIGURE.VIEW`, is the choice of the view and the place of its figure.
 * @param {PageState} state
 * @returns {PageState}
 */
function withFigureOf(state) {
  const at = state.get("at") ?? "";
  const figure = all(document, "figure.figure").find(({ id }) => at.startsWith(`${id}.`));
  const name = figure && at.slice(figure.id.length + 1);
  if (!figure || !viewsOf(figure).some((view) => view.dataset.view === name)) return state;
  return new Map([...state, ["at", figure.id], [`view.${figure.id}`, name ?? ""]]);
}

stateReaders.push(withFigureOf);
