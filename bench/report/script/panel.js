const OPEN_GROUPS = new Set(["cell", "memory", "latency", "accuracy", "inference", "ranks", "record"]);
const NOT_LISTED = new Set(["label", "command", "id"]);

/** The panel of one cell: all that its record holds. */
class Panel {
  /**
   * @param {Records} records
   * @param {Grid} grid of which the order leads to the next cell.
   */
  constructor(records, grid) {
    this.records = records;
    this.grid = grid;
    this.made = element("dialog", { class: "panel", "aria-labelledby": "panel-title" });
    this.made.addEventListener("cancel", (event) => {
      event.preventDefault();
      changeState({ cell: null });
    });
    this.made.addEventListener("click", (event) => {
      if (event.target === this.made) changeState({ cell: null });  // beside the panel
    });
    /** @type {string | undefined} */
    this.id = undefined;
  }

  /**
   * Opens the panel of the cell with an id; closes it if there is none.
   * @param {string | undefined} id
   */
  show(id) {
    if (id === this.id) return;
    this.id = id;
    if (id === undefined) {
      this.made.close();
      return;
    }
    const index = this.records.places.get(id);
    this.made.replaceChildren(...(index === undefined ? this.missing(id) : this.content(index)));
    if (!this.made.open) this.made.showModal();
    this.made.scrollTop = 0;
    /** @type {HTMLElement | null} */ (this.made.querySelector("#panel-title"))?.focus();
  }

  /**
   * @param {string} id
   * @returns {Node[]}
   */
  missing(id) {
    return [this.header("No such cell", []), element("p", {}, `No record of this page has the id ${id}.`)];
  }

  /**
   * @param {string} title
   * @param {Node[]} buttons
   */
  header(title, buttons) {
    const close = button("Close", () => changeState({ cell: null }));
    return element(
      "header", {},
      element("div", { class: "toolbar" }, ...buttons, close),
      element("h3", { id: "panel-title", tabindex: -1 }, title),
    );
  }

  /**
   * @param {number} index
   * @returns {Node[]}
   */
  content(index) {
    const { records } = this;
    const text = (/** @type {string} */ path) => records.text(path, index);
    const place = this.grid.order.indexOf(index);
    const step = (/** @type {string} */ name, /** @type {number} */ by) => {
      const next = place < 0 ? undefined : this.grid.order[place + by];
      return button(name, () => changeState({ cell: records.text("id", next ?? index) }, true), { disabled: next === undefined });
    };
    const link = button("Copy link", (pressed) => void copy(location.href, pressed));
    const parts = [
      this.header(text("label") || text("id"), [step("Previous", -1), step("Next", 1), link]),
      element("p", { class: "soft" }, [text("series"), text("status"), `id ${text("id")}`, text("created")].filter(Boolean).join(" · ")),
    ];
    parts.push(...this.seeds(index));
    if (text("message")) parts.push(element("p", { class: "warning" }, text("message")));
    if (text("command")) parts.push(...this.command(text("command")));
    const raw = element("div", { class: "raw" }, element("p", { class: "soft", role: "status" }, "Loading samples …"));
    parts.push(...this.groups(index), element("h4", {}, "Samples and traces"), raw);
    void this.fill(raw, index);
    return parts;
  }

  /**
   * Returns links to the records of the cell with other seeds, if there are any.
   * @param {number} index
   */
  seeds(index) {
    const found = this.records.seedsOf(index);
    const links = found.map((other) => {
      const href = linkTo(this.records.text("id", other));
      return element("a", { href, "aria-current": other === index && "true" }, this.records.text("cell.seed", other));
    });
    return found.length > 1 ? [element("p", { class: "seeds" }, "Seeds:", ...links)] : [];
  }

  /**
   * @param {string} command
   * @returns {HTMLElement[]}
   */
  command(command) {
    const copies = button("Copy", (pressed) => void copy(command, pressed), { "aria-label": "Copy the command" });
    return [element("h4", {}, "Measure it again"), element("div", { class: "command" }, element("pre", {}, command), copies)];
  }

  /**
   * Returns the fields of a record by the part that they belong to.
   * @param {number} index
   */
  groups(index) {
    /** @type {Map<string, Node[]>} */
    const groups = new Map();
    for (const path of [...this.records.stored.keys(), ...this.records.derived.keys()]) {
      const value = this.records.value(path, index);
      if (value === undefined || NOT_LISTED.has(path) || (value === null && this.records.derived.has(path))) continue;
      const [first, ...rest] = path.split(".");
      const isPart = rest.length > 0 || leavesOf("", value)[0]?.[1] !== value;
      const name = isPart ? first : "record";
      if (!isPart && value === null) continue;  // a part that was not measured
      const field = rest.join(".") || (isPart ? "" : first);
      const rows = leavesOf(field, value).map(([leaf, part]) =>
        element("tr", {}, element("th", { scope: "row" }, readable(leaf)), element("td", {}, inFull(leaf, part))));
      groups.set(name, [...(groups.get(name) ?? []), ...rows]);
    }
    return [...groups].map(([name, rows]) => element(
      "details", { open: OPEN_GROUPS.has(name) },
      element("summary", {}, readable(name)),
      element("table", { class: "fields", "aria-label": readable(name) }, element("tbody", {}, ...rows)),
    ));
  }

  /**
   * Shows samples, traces and the JSON, which need the file beside the page where the page does not hold them.
   * @param {HTMLElement} place
   * @param {number} index
   */
  async fill(place, index) {
    const { records } = this;
    try {
      await records.load();
    } catch (error) {
      const again = button("Try again", () => void this.fill(place, index));
      place.replaceChildren(element("p", { class: "warning", role: "alert" }, error instanceof Error ? error.message : String(error)), again);
      return;
    }
    const values = new Map([...(records.raw ?? [])].map(([path, column]) => [path, valueIn(column, index)]));
    const parts = rawParts(values);
    const json = records.json(index, "  ");
    const name = `${records.text("id", index)}.json`;
    const buttons = [
      button("Copy JSON", (pressed) => void copy(json, pressed)),
      button("Download JSON", () => save(name, `${json}\n`, "application/json")),
    ];
    place.replaceChildren(
      ...(parts.length ? parts : [element("p", { class: "soft" }, "This record has none.")]),
      element("h4", {}, "Record as JSON"),
      element("div", { class: "toolbar" }, ...buttons),
      element("details", {}, element("summary", {}, "Show it"), element("pre", {}, json)),
    );
  }
}

/**
 * Returns the leaves of a value that is an object, with their paths; else the value itself.
 * @param {string} path
 * @param {unknown} value
 * @returns {[string, unknown][]}
 */
function leavesOf(path, value) {
  const isTree = value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof ExactJson);
  if (!isTree || !Object.keys(value).length) return [[path, value]];
  return Object.entries(value).flatMap(([key, part]) => leavesOf(path ? `${path}.${key}` : key, part));
}

/**
 * Returns a value exactly, and bytes and seconds in a larger or smaller unit, too.
 * @param {string} field
 * @param {unknown} value
 */
function inFull(field, value) {
  const text = Array.isArray(value) ? value.map((part) => textOf(part) || "–").join(", ") : textOf(value);
  const kind = /_(bytes|seconds)$/.exec(field)?.[1];
  if (typeof value !== "number" || !kind) return text || "–";
  const short = shown(value, kind);
  return short === `${text} ${kind === "bytes" ? "B" : "s"}` ? short : `${kind === "bytes" ? value.toLocaleString("en") : text} (${short})`;
}
