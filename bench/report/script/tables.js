const ROWS_WITH_FILTER = 12;

/**
 * Makes the tables in `root` that are sortable so: a button in each header, and a filter above a long table.
 * @param {ParentNode} root
 */
function startTables(root) {
  for (const found of all(root, "table.sortable")) {
    const table = /** @type {HTMLTableElement} */ (found);
    if (table.dataset.started) continue;
    table.dataset.started = "yes";
    table.id ||= idOf(table);
    addSorting(table);
    if (rowsOf(table).length > ROWS_WITH_FILTER) addFilter(table);
  }
}

/**
 * Returns an identifier made of a table's caption, so that a link with the order of its rows fits whenever the table is made.
 * @param {HTMLTableElement} table
 */
function idOf(table) {
  const words = (table.caption?.textContent ?? "").toLowerCase().match(/[a-z0-9]+/g) ?? [];
  const id = ["table", ...words].join("-");
  let unique = id;
  for (let number = 2; document.getElementById(unique); number += 1) unique = `${id}-${number}`;
  return unique;
}

/**
 * Returns the headers of the columns of a table.
 * @param {HTMLTableElement} table
 */
function headersOf(table) {
  return [...(table.tHead?.rows[table.tHead.rows.length - 1]?.cells ?? [])];
}

/**
 * Returns the rows in all bodies of a table, in their order now.
 * @param {HTMLTableElement} table
 */
function rowsOf(table) {
  return [...table.tBodies].flatMap((body) => [...body.rows]);
}

/** @param {HTMLTableElement} table */
function addSorting(table) {
  const original = [...table.tBodies].map((body) => ({ body, rows: [...body.rows] }));  // rows stay in their body
  const key = `sort.${table.id}`;
  const headers = headersOf(table);
  headers.forEach((header) => {
    const name = (header.textContent ?? "").trim();
    if (!name) return;
    const sort = button("", () => changeState({ [key]: nextSort(pageState.get(key), name) }), { class: "sort" });
    sort.append(...header.childNodes);
    header.append(sort);
    header.dataset.name = name;
  });
  onState((state) => {
    const wanted = state.get(key) ?? "";
    const place = headers.findIndex((header) => header.dataset.name === wanted.replace(/^-/, ""));
    headers.forEach((header, index) => setSorted(header, index === place ? wanted : ""));
    for (const { body, rows } of original) {
      body.append(...(place < 0 ? rows : sorted(rows, (row) => valueOfCell(row.cells[place]), wanted.startsWith("-"))));
    }
  });
}

/**
 * Returns how a table is sorted after its header was pressed: up, down, then in its own order.
 * @param {string | undefined} now
 * @param {string} name
 */
function nextSort(now, name) {
  return now === name ? `-${name}` : now === `-${name}` ? null : name;
}

/**
 * @param {HTMLElement} header
 * @param {string} sort the empty text if the table is not sorted by this column.
 */
function setSorted(header, sort) {
  if (sort) header.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
  else header.removeAttribute("aria-sort");
}

/**
 * Returns `rows` in the order of their values; those without a value are last in both directions.
 * @template T
 * @param {T[]} rows
 * @param {(row: T) => string | number | null} valueOf
 * @param {boolean} downward
 */
function sorted(rows, valueOf, downward) {
  const keyed = rows.map((row) => ({ row, value: valueOf(row) }));
  keyed.sort((one, other) => {
    if (one.value === null || other.value === null) return Number(one.value === null) - Number(other.value === null);
    return downward ? compared(other.value, one.value) : compared(one.value, other.value);
  });
  return keyed.map(({ row }) => row);
}

/**
 * Returns the value by which a cell is sorted; null if it is absent.
 * @param {HTMLTableCellElement | undefined} cell
 * @returns {string | number | null}
 */
function valueOfCell(cell) {
  const text = (cell?.dataset.value ?? cell?.textContent ?? "").trim();
  if (!text || text === "–") return null;
  const number = leadingNumber(text);
  return Number.isNaN(number) ? text : number;
}

/** @param {HTMLTableElement} table */
function addFilter(table) {
  const key = `find.${table.id}`;
  const field = element("input", { type: "search", placeholder: "Filter rows", "aria-label": "Filter the rows of the table" });
  const count = element("span", { class: "soft" });
  field.addEventListener("input", () => changeState({ [key]: field.value }, true));
  (table.closest(".table") ?? table).before(element("div", { class: "filter" }, field, count));
  onState((state) => {
    const wanted = state.get(key) ?? "";
    if (field.value !== wanted) field.value = wanted;
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = rowsOf(table);
    for (const row of rows) {
      const text = (row.textContent ?? "").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    count.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  });
}
