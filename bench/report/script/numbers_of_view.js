/**
 * The numbers that a view of a figure shows. Row `mark` belongs to the marks with `data-mark` of this number.
 * @typedef {{mark: string, cell: string, values: string[]}} NumbersRow
 * @typedef {{columns: string[], rows: Map<string, NumbersRow>}} Numbers
 */

/** @type {WeakMap<HTMLElement, Numbers>} */
const numbersByView = new WeakMap();

/**
 * Returns the numbers of a view, which stand in the page for readers without JavaScript.
 * @param {HTMLElement} view
 * @returns {Numbers}
 */
function numbersOf(view) {
  const known = numbersByView.get(view);
  if (known) return known;
  const markup = view.querySelector("noscript.numbers")?.textContent ?? "";
  const parsed = new DOMParser().parseFromString(markup, "text/html");
  const texts = (/** @type {ParentNode} */ row) => all(row, "th, td").map((cell) => (cell.textContent ?? "").trim());
  const header = parsed.querySelector("thead tr");
  const rows = all(parsed, "tbody tr").map((row) => {
    return { mark: row.dataset.mark ?? "", cell: row.dataset.cell ?? "", values: texts(row) };
  });
  const numbers = { columns: header ? texts(header) : [], rows: new Map(rows.map((row) => [row.mark, row])) };
  numbersByView.set(view, numbers);
  return numbers;
}

/**
 * Returns the name of the series of a row.
 * @param {Numbers} numbers
 * @param {NumbersRow} row
 */
function seriesOf(numbers, row) {
  return row.values[numbers.columns.indexOf("method")] ?? "";
}

/**
 * Returns the numbers of a view as CSV, with the id of the record of each row.
 * @param {HTMLElement} view
 */
function csvOfView(view) {
  const { columns, rows } = numbersOf(view);
  return csvOf([[...columns, "id"], ...[...rows.values()].map((row) => [...row.values, row.cell])]);
}

/**
 * Returns the numbers of a view as a table.
 * @param {HTMLElement} view
 */
function tableOfView(view) {
  const numbers = numbersOf(view);
  const rows = [...numbers.rows.values()];
  const isNumber = numbers.columns.map((_, place) => rows.some((row) => !Number.isNaN(leadingNumber(row.values[place] ?? ""))));
  const attributes = (/** @type {number} */ place) => ({ class: isNumber[place] ? "number" : false });
  const head = numbers.columns.map((name, place) => element("th", { scope: "col", ...attributes(place) }, name));
  const body = rows.map((row) => {
    const cells = row.values.map((value, place) => {
      const linked = numbers.columns[place] === "cell" ? element("a", { href: linkTo(row.cell) }, value) : value;
      return place ? element("td", attributes(place), linked) : element("th", { scope: "row", ...attributes(place) }, linked);
    });
    return element("tr", { "data-series": seriesOf(numbers, row) }, ...cells);
  });
  const label = view.querySelector(".finding")?.textContent ?? "Numbers of the figure";
  const table = element(
    "table",
    { class: "sortable", id: `${view.id}.numbers` },
    element("caption", { class: "hidden" }, label),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...body),
  );
  return element("div", { class: "table numbers-shown", tabindex: 0, role: "region", "aria-label": `Numbers: ${label}` }, table);
}
