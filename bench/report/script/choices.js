/**
 * Adds buttons above the tables in `root` that ask for them: one for each value of the columns that `data-choices` names.
 * A row is shown if its value is chosen in each column; where no value of a column is chosen, all are.
 * @param {ParentNode} root
 */
function startChoices(root) {
  for (const found of all(root, "table[data-choices]")) {
    const table = /** @type {HTMLTableElement} */ (found);
    const headers = headersOf(table).map((header) => header.dataset.name ?? textOfCell(header));
    for (const name of (table.dataset.choices ?? "").split(" ")) addChoices(table, name, headers.indexOf(name));
    onState(() => showChosen(table, headers));
  }
}

/** @param {HTMLElement | undefined} cell */
function textOfCell(cell) {
  return (cell?.textContent ?? "").trim();
}

/**
 * Returns the state's name for the values of a column that are chosen.
 * @param {HTMLTableElement} table
 * @param {string} name
 */
function choiceKey(table, name) {
  return `only.${table.id}.${name}`;
}

/**
 * @param {HTMLTableElement} table
 * @param {string} name
 */
function chosenIn(table, name) {
  return (pageState.get(choiceKey(table, name)) ?? "").split(",").filter(Boolean);
}

/**
 * @param {HTMLTableElement} table
 * @param {string} name of the column.
 * @param {number} place of the column.
 */
function addChoices(table, name, place) {
  const values = [...new Set(rowsOf(table).map((row) => textOfCell(row.cells[place])))];
  if (values.length < 2) return;
  const group = element("div", { class: "filter", role: "group", "aria-label": `Show rows by ${name}` }, `${name}: `);
  for (const value of values) {
    const toggle = button(value, () => {
      const chosen = chosenIn(table, name);
      const next = chosen.includes(value) ? chosen.filter((other) => other !== value) : [...chosen, value];
      changeState({ [choiceKey(table, name)]: next.join(",") || null });
    });
    onState(() => toggle.setAttribute("aria-pressed", String(chosenIn(table, name).includes(value))));
    group.append(toggle);
  }
  (table.closest(".table") ?? table).before(group);
}

/**
 * @param {HTMLTableElement} table
 * @param {string[]} headers the names of the columns.
 */
function showChosen(table, headers) {
  const wanted = (table.dataset.choices ?? "").split(" ").map((name) => ({ place: headers.indexOf(name), chosen: chosenIn(table, name) }));
  for (const row of rowsOf(table)) {
    const isShown = wanted.every(({ place, chosen }) => !chosen.length || chosen.includes(textOfCell(row.cells[place])));
    row.classList.toggle("left-out", !isShown);
  }
}
