const ROW_HEIGHT = 34;  // pixels; the style sheet has the same
const ROWS_BEYOND = 8;  // rows that are drawn above and below those that are seen

/** A table of records of which only the rows that are seen are in the page. */
class Grid {
  /**
   * @param {Records} records
   * @param {(path: string) => void} sortBy is called when a header is pressed.
   */
  constructor(records, sortBy) {
    this.records = records;
    this.sortBy = sortBy;
    /** @type {TableColumn[]} */
    this.columns = [];
    /** @type {number[]} the records of the rows, in order */
    this.order = [];
    /** @type {Map<number, HTMLTableRowElement>} the rows that are in the page, by their place */
    this.drawn = new Map();
    this.body = element("tbody");
    this.above = spacer();
    this.below = spacer();
    this.widths = element("colgroup");
    this.head = element("thead");
    const caption = element("caption", { class: "hidden" }, "All cells");
    this.table = element("table", {}, caption, this.widths, this.head, this.above, this.body, this.below);
    this.made = element("div", { class: "table grid", tabindex: 0, role: "region", "aria-label": "Table of all cells" }, this.table);
    let waits = false;
    const drawSoon = () => {
      if (waits) return;
      waits = true;
      requestAnimationFrame(() => {
        waits = false;
        this.draw();
      });
    };
    this.made.addEventListener("scroll", drawSoon, { passive: true });
    this.made.addEventListener("keydown", (event) => this.moveFocus(event));
    new ResizeObserver(drawSoon).observe(this.made);
  }

  /**
   * Shows other columns or rows.
   * @param {TableColumn[]} columns
   * @param {number[]} order the records of the rows.
   * @param {string} sort path by which they are sorted, with `-` before it if downwards.
   */
  show(columns, order, sort) {
    if (columns !== this.columns) this.showColumns(columns);
    this.order = order;
    for (const header of all(this.head, "th")) setSorted(header, header.dataset.path === sort.replace(/^-/, "") ? sort : "");
    this.table.setAttribute("aria-rowcount", String(order.length + 1));
    this.body.replaceChildren();
    this.drawn.clear();
    this.draw();
  }

  /** @param {TableColumn[]} columns */
  showColumns(columns) {
    this.columns = columns;
    const headers = columns.map(({ path, title, unit, kind }) => {
      const name = unit && kind !== "bytes" && kind !== "seconds" ? `${title}, ${unit}` : title;
      const sort = button(name, () => this.sortBy(path), { class: "sort" });
      return element("th", { scope: "col", "data-path": path, title: path, class: kind !== "text" && "number" }, sort);
    });
    this.head.replaceChildren(element("tr", { "aria-rowindex": 1 }, ...headers));
    // The first column stays in place when the others scroll: on a narrow screen it must leave them room.
    const widths = columns.map((column, place) => `${place ? "" : "min(42vw, "}${this.widthOf(column)}ch${place ? "" : ")"}`);
    this.widths.replaceChildren(...widths.map((text) => {
      const width = element("col");
      width.style.width = text;
      return width;
    }));
    this.table.style.minWidth = `calc(${widths.join(" + ") || "0px"})`;
  }

  /**
   * Returns a width in characters that has room for most values of a column.
   * @param {TableColumn} column
   */
  widthOf(column) {
    let longest = Math.min(column.title.length, 14);
    const step = Math.max(1, Math.floor(this.records.count / 200));
    for (let index = 0; index < this.records.count; index += step) longest = Math.max(longest, this.cellText(column, index).length);
    return Math.min(longest, 34) + 5;
  }

  /**
   * @param {TableColumn} column
   * @param {number} index
   */
  cellText(column, index) {
    return shown(this.records.value(column.path, index), column.kind);
  }

  /** Puts the rows that are seen now into the page, and takes the others out. */
  draw() {
    const first = Math.max(0, Math.floor(this.made.scrollTop / ROW_HEIGHT) - ROWS_BEYOND);
    const seen = Math.ceil((this.made.clientHeight || 600) / ROW_HEIGHT) + 2 * ROWS_BEYOND;
    const end = Math.min(this.order.length, first + seen);
    for (const [place, row] of this.drawn) {
      if (place >= first && place < end) continue;
      row.remove();
      this.drawn.delete(place);
    }
    let next = null;
    for (let place = end - 1; place >= first; place -= 1) {
      let row = this.drawn.get(place);
      if (!row) {
        row = this.rowOf(place);
        this.drawn.set(place, row);
        this.body.insertBefore(row, next);
      }
      next = row;
    }
    setHeight(this.above, first * ROW_HEIGHT, this.columns.length);
    setHeight(this.below, (this.order.length - end) * ROW_HEIGHT, this.columns.length);
  }

  /**
   * @param {number} place
   * @returns {HTMLTableRowElement}
   */
  rowOf(place) {
    const index = this.order[place];
    const series = this.records.text("series", index);
    const cells = this.columns.map((column, at) => {
      const text = this.cellText(column, index);
      const attributes = { class: column.kind !== "text" && "number", title: this.records.text(column.path, index) };
      if (at) return element("td", attributes, text);
      const label = this.records.text("label", index);
      const href = linkTo(this.records.text("id", index));
      return element("th", { scope: "row", ...attributes }, element("a", { href, "aria-label": `${text}: ${label}` }, text));
    });
    const row = element("tr", { "aria-rowindex": place + 2, "data-series": series }, ...cells);
    row.classList.toggle("dimmed", isolated.size > 0 && !isolated.has(series));
    return row;
  }

  /**
   * Moves the focus from the link of a row to that of the row above or below.
   * @param {KeyboardEvent} event
   */
  moveFocus(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = closest(event.target, "tbody tr");
    if (!step || !row) return;
    const place = Number(row.getAttribute("aria-rowindex")) - 2 + step;
    if (place < 0 || place >= this.order.length) return;
    event.preventDefault();
    const top = place * ROW_HEIGHT;
    const room = this.made.clientHeight - this.head.offsetHeight - ROW_HEIGHT;
    if (top < this.made.scrollTop) this.made.scrollTop = top;
    else if (top > this.made.scrollTop + room) this.made.scrollTop = top - room;
    this.draw();
    this.drawn.get(place)?.querySelector("a")?.focus({ preventScroll: true });
  }
}

/** Returns a body of a table that takes the room of rows that are not in the page. */
function spacer() {
  return element("tbody", { "aria-hidden": "true" }, element("tr", {}, element("td")));
}

/**
 * @param {HTMLTableSectionElement} made
 * @param {number} height pixels
 * @param {number} columns
 */
function setHeight(made, height, columns) {
  const cell = made.rows[0].cells[0];
  made.hidden = height === 0;
  cell.colSpan = columns;
  cell.style.height = `${height}px`;
}
