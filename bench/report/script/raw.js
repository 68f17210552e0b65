const MOST_LINES = 8;
const SVG = "http://www.w3.org/2000/svg";

/**
 * Returns what shows the raw values of a record: lists that belong together as lines and as a table.
 * @param {Map<string, unknown>} values of paths.
 */
function rawParts(values) {
  /** @type {Map<string, Map<string, unknown>>} */
  const groups = new Map();
  for (const [path, value] of values) {
    if (value === undefined || value === null) continue;
    const listed = Array.isArray(value) || (typeof value === "string" && path.endsWith(".phase"));
    const outer = path.slice(0, Math.max(0, path.lastIndexOf(".")));
    const name = listed && values.has(`${outer}.phase`) ? outer : path;
    const group = groups.get(name) ?? new Map();
    groups.set(name, group.set(path, value));
  }
  return [...groups].map(([name, group]) => element("section", { class: "raw-part" }, element("h4", {}, readable(name)), ...partsOf(name, group)));
}

/**
 * @param {string} name
 * @param {Map<string, unknown>} group
 * @returns {Node[]}
 */
function partsOf(name, group) {
  const columns = columnsIn(name, group);
  if (!columns) {
    return [...group].map(([path, value]) => element("p", { class: "soft" }, `${path === name ? "" : `${readable(path)}: `}${textOf(value)}`));
  }
  const lines = [...columns].filter(([, values]) => values.length > 1 && values.every((value) => value === null || typeof value === "number"));
  const isTrace = columns.has("start_seconds");
  const shown = isTrace || lines.length > MOST_LINES ? [] : lines;
  const drawings = shown.map(([title, values]) => drawingOf(title, values.map((value) => (typeof value === "number" ? value : NaN))));
  return [element("div", { class: "drawings" }, ...drawings), listOf(name, columns)];
}

/**
 * Returns lists as columns: those of one length, the fields of a list of objects, or the places of a list of lists.
 * @param {string} name
 * @param {Map<string, unknown>} group
 * @returns {Map<string, unknown[]> | null}
 */
function columnsIn(name, group) {
  /** @type {Map<string, unknown[]>} */
  const columns = new Map();
  for (const [path, value] of group) {
    const title = path === name ? "value" : path.slice(name.length + 1);
    if (Array.isArray(value)) columns.set(title, value);
    else if (group.size > 1 && typeof value === "string") columns.set(title, [...value]);
  }
  const only = columns.size === 1 ? [...columns.values()][0] : [];
  if (only.length && only.every(Array.isArray)) {
    const places = Math.max(...only.map((row) => row.length));
    const titles = name.endsWith("blocks_seconds") && places === 4 ? ["cell", "BP", "BP again", "cell again"] : [];
    return new Map(Array.from({ length: places }, (_, place) => [titles[place] ?? `value ${place + 1}`, only.map((row) => row[place])]));
  }
  if (only.length && only.every((part) => part !== null && typeof part === "object")) {
    const keys = new Set(only.flatMap((part) => Object.keys(part)));
    return new Map([...keys].map((key) => [key, only.map((part) => Object(part)[key])]));
  }
  return columns.size ? columns : null;
}

/**
 * Returns numbers as a line, with their least and their greatest value.
 * @param {string} title
 * @param {number[]} values NaN where there is none.
 */
function drawingOf(title, values) {
  const known = values.filter((value) => !Number.isNaN(value));
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const points = values.map((value, place) => {
    const across = (300 * place) / Math.max(1, values.length - 1);
    return Number.isNaN(value) ? "" : `${across.toFixed(1)},${(46 - 42 * ((value - least) / (most - least || 1))).toFixed(1)}`;
  });
  const text = `${readable(title)}: ${values.length} values from ${rounded(least)} to ${rounded(most)}`;
  const svg = document.createElementNS(SVG, "svg");
  const attributes = { viewBox: "0 0 300 50", preserveAspectRatio: "none", role: "img", "aria-label": text };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points.filter(Boolean).join(" "));
  svg.append(line);
  return element("figure", { class: "line" }, svg, element("figcaption", {}, text));
}

/**
 * Returns columns as a closed table, which is made when it is opened.
 * @param {string} name
 * @param {Map<string, unknown[]>} columns
 */
function listOf(name, columns) {
  const length = Math.max(...[...columns.values()].map((values) => values.length));
  const made = element("details", {}, element("summary", {}, `${length} rows`));
  made.addEventListener("toggle", () => {
    if (made.childElementCount > 1) return;
    const head = element("tr", {}, ...["", ...columns.keys()].map((title) => element("th", { scope: "col" }, readable(title) || "row")));
    const rows = Array.from({ length }, (_, place) => element(
      "tr", {}, element("th", { scope: "row" }, String(place + 1)),
      ...[...columns.values()].map((values) => element("td", { class: "number" }, textOf(values[place]) || "–")),
    ));
    const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
    made.append(element("div", { class: "table", tabindex: 0, role: "region", "aria-label": `Values of ${readable(name)}` }, table));
  });
  return made;
}

/**
 * Returns the last part of a path as words.
 * @param {string} path
 */
function readable(path) {
  return path.replaceAll("_", " ");
}
