const MOST_CHOICES = 30;  // distinct values of a column that a list offers
const MOST_LISTS = 6;
const MOST_CHIPS = 40;

/**
 * Starts the section of all cells: the table with its search, and the panel of one cell.
 * @param {Records} records
 * @param {HTMLElement} section
 */
function startCells(records, section) {
  const names = pathsByName(records);
  const sortBy = (/** @type {string} */ path) => changeState({ sort: nextSort(pageState.get("sort"), path) });
  const grid = new Grid(records, sortBy);
  const panel = new Panel(records, grid);
  const count = element("span", { class: "soft", role: "status" });
  const search = searchOf(records, names);
  const columns = columnChooser(records);
  const actions = element("div", { class: "toolbar" }, count, columns.made, filesOf(records, grid));
  section.append(search.made, actions, grid.made, panel.made);
  const found = finder(records, names);
  let last = "";
  onState((state) => {
    const query = state.get("find") ?? "";
    const sort = state.get("sort") ?? "";
    const chosen = state.get("columns") ?? "";
    const wanted = JSON.stringify([query, sort, chosen]);
    if (wanted !== last) {
      last = wanted;
      search.show(query);
      const shownColumns = columns.of(chosen);
      grid.show(shownColumns, found(query, shownColumns, sort), sort);
      count.textContent = `${grid.order.length} of ${records.count} records`;
    }
    panel.show(state.get("cell"));
  });
  const series = new Set(Array.from({ length: records.count }, (_, index) => records.text("series", index)));
  if (series.size <= MOST_CHIPS) addChips([...series]);
}

/**
 * Returns what finds the records of a query, in the order of a column.
 * @param {Records} records
 * @param {Map<string, string>} names
 */
function finder(records, names) {
  /** @type {{columns: TableColumn[], texts: string[]}} */
  let cached = { columns: [], texts: [] };
  const texts = (/** @type {TableColumn[]} */ columns) => {
    if (cached.columns !== columns) {
      const paths = new Set(["id", "label", "series", "message", ...columns.map(({ path }) => path)]);
      const text = (/** @type {number} */ index) => [...paths].map((path) => records.text(path, index)).join("\n").toLowerCase();
      cached = { columns, texts: Array.from({ length: records.count }, (_, index) => text(index)) };
    }
    return cached.texts;
  };
  return (/** @type {string} */ query, /** @type {TableColumn[]} */ columns, /** @type {string} */ sort) => {
    const terms = termsOf(query).map((term) => {
      const path = names.get(term.name);
      return { ...term, path, word: `${term.name}${term.operator}${term.value}`.toLowerCase() };
    });
    const fits = (/** @type {number} */ index) => terms.every((term) =>
      term.path ? meets(records.value(term.path, index), term) : texts(columns)[index].includes(term.word));
    const order = Array.from({ length: records.count }, (_, index) => index).filter(fits);
    const path = sort.replace(/^-/, "");
    return path ? sorted(order, (index) => sortKey(records.value(path, index)), sort.startsWith("-")) : order;
  };
}

/**
 * Returns the value by which a record is sorted; null if it is absent.
 * @param {unknown} value
 */
function sortKey(value) {
  return typeof value === "number" ? value : textOf(value) || null;
}

/**
 * Returns the field of the query, and lists that write terms of it.
 * @param {Records} records
 * @param {Map<string, string>} names
 */
function searchOf(records, names) {
  const field = element("input", { type: "search", placeholder: "Words, or terms such as depth>=8", "aria-label": "Find cells" });
  field.addEventListener("input", () => changeState({ find: field.value }, true));
  const lists = listsOf(records).map(({ column, values }) => {
    const end = column.path.slice(column.path.lastIndexOf(".") + 1);
    const name = names.get(end) === column.path ? end : column.path;
    const isOfList = (/** @type {Term} */ term) => names.get(term.name) === column.path && term.operator === "=";
    const options = [["", "any"], ...values.map((value) => [value, value])];
    const list = element("select", {}, ...options.map(([value, text]) => element("option", { value }, text)));
    list.addEventListener("change", () => {
      const others = termsOf(field.value).filter((term) => !isOfList(term));
      changeState({ find: queryOf(list.value ? [...others, { name, operator: "=", value: list.value }] : others) });
    });
    const show = (/** @type {Term[]} */ terms) => void (list.value = terms.find(isOfList)?.value ?? "");
    return { made: element("label", {}, column.title, list), show };
  });
  const show = (/** @type {string} */ query) => {
    if (field.value !== query) field.value = query;
    for (const list of lists) list.show(termsOf(query));
  };
  return { made: element("div", { class: "toolbar find" }, field, ...lists.map(({ made }) => made)), show };
}

/**
 * Returns the columns of text with few distinct values, and these.
 * @param {Records} records
 */
function listsOf(records) {
  const lists = [];
  for (const column of records.table) {
    if (column.kind !== "text" || lists.length === MOST_LISTS) continue;
    /** @type {Set<string>} */
    const values = new Set();
    for (let index = 0; index < records.count && values.size <= MOST_CHOICES; index += 1) values.add(records.text(column.path, index));
    values.delete("");
    if (values.size > 1 && values.size <= MOST_CHOICES) lists.push({ column, values: [...values].sort(compared) });
  }
  return lists;
}

/**
 * Returns what chooses the columns of the table.
 * @param {Records} records
 */
function columnChooser(records) {
  const usual = records.table;
  const known = new Map(usual.map((column) => [column.path, column]));
  const others = [...records.stored.keys(), ...records.derived.keys()].filter((path) => !known.has(path) && path !== "command");
  /** @type {{chosen: string, columns: TableColumn[]}} */
  let last = { chosen: "", columns: usual };
  const of = (/** @type {string} */ chosen) => {
    if (chosen !== last.chosen) {
      const columns = chosen.split(",").filter((path) => known.has(path) || others.includes(path));
      last = { chosen, columns: columns.length ? columns.map((path) => known.get(path) ?? columnOf(records, path)) : usual };
    }
    return last.columns;
  };
  const made = element("details", { class: "columns" }, element("summary", {}, "Columns"));
  made.addEventListener("toggle", () => {
    if (made.open) made.replaceChildren(made.children[0], ...choices());
  });
  const choices = () => {
    const paths = new Set(last.columns.map(({ path }) => path));
    const change = (/** @type {string[]} */ chosen) => {
      const isUsual = chosen.join() === usual.map(({ path }) => path).join();
      changeState({ columns: isUsual ? null : chosen.join() }, true);
    };
    const boxes = [...usual.map(({ path }) => path), ...others].map((path) => {
      const box = element("input", { type: "checkbox", checked: paths.has(path) });
      box.addEventListener("change", () => {
        if (box.checked) paths.add(path);
        else paths.delete(path);
        change([...paths]);
      });
      return element("label", {}, box, readable(path));
    });
    const reset = button("Usual columns", () => {
      change(usual.map(({ path }) => path));
      made.replaceChildren(made.children[0], ...choices());
    });
    return [element("div", { class: "choices", role: "group", "aria-label": "Columns of the table" }, ...boxes), reset];
  };
  return { made, of };
}

/**
 * Returns a column that the table does not show at first.
 * @param {Records} records
 * @param {string} path
 * @returns {TableColumn}
 */
function columnOf(records, path) {
  let kind = /_(bytes|seconds)$/.exec(path)?.[1] ?? "number";
  for (let index = 0; index < records.count; index += 1) {
    const value = records.value(path, index);
    if (value !== undefined && value !== null && typeof value !== "number") kind = "text";
  }
  return { path, title: readable(path), unit: "", kind };
}

/**
 * Returns the buttons that save records.
 * @param {Records} records
 * @param {Grid} grid
 */
function filesOf(records, grid) {
  const csv = (/** @type {string[]} */ paths) => {
    const rows = grid.order.map((index) => paths.map((path) => records.text(path, index)));
    save(`${pageStem()}.csv`, csvOf([paths, ...rows]), "text/csv");
  };
  const message = element("span", { class: "soft", role: "status" });
  const lines = async () => {
    try {
      await records.load();
      save(`${pageStem()}.jsonl`, records.lines());
      message.textContent = "";
    } catch (error) {
      message.textContent = error instanceof Error ? error.message : String(error);
    }
  };
  return element(
    "div", { class: "group files" },
    button("CSV of these rows", () => csv([...new Set(["id", ...grid.columns.map(({ path }) => path)])])),
    button("CSV, all columns", () => csv([...records.stored.keys(), ...records.derived.keys()])),
    button("All records as JSONL", () => void lines()),
    message,
  );
}
