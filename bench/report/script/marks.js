const REACH = 28;  // pixels: a pointer this close to a mark is on it

/** @type {HTMLElement} */
const tooltip = element("div", { class: "tooltip", role: "tooltip", id: "tooltip", hidden: true });

/** @type {HTMLElement[]} the marks that the tooltip describes */
let currentMarks = [];

/** @type {HTMLElement | null} the mark that was touched last */
let touchedMark = null;

/**
 * Returns the marks of the drawing of a view that is seen, the wide one or the narrow one, in the order of their rows.
 * @param {HTMLElement} view
 */
function marksOf(view) {
  const seen = all(view, ".wide, .narrow").find((drawing) => drawing.offsetParent !== null);
  const marks = seen ? all(seen, "[data-mark]") : [];
  return marks.sort((one, other) => Number(one.dataset.mark) - Number(other.dataset.mark));
}

/**
 * Lets the pointer and the keyboard reach the marks of a view: each has its numbers as its name, and the arrow keys lead
 * from one to the next.
 * @param {HTMLElement} view
 */
function startMarks(view) {
  const drawing = /** @type {HTMLElement | null} */ (view.querySelector(".drawing"));
  if (!drawing) return;
  const { rows } = numbersOf(view);
  for (const mark of all(drawing, "[data-mark]")) {
    const row = rows.get(mark.dataset.mark ?? "");
    if (row) mark.dataset.cell = row.cell;
  }
  drawing.setAttribute("role", "group");
  drawing.setAttribute("aria-roledescription", "chart");
  for (const svg of all(drawing, "svg")) svg.removeAttribute("aria-hidden");
  drawing.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const mark = markAt(view, event);
    if (mark) showTooltip(view, mark);
    else if (!drawing.contains(document.activeElement)) hideTooltip();
  });
  drawing.addEventListener("pointerleave", (event) => void (event.pointerType !== "touch" && hideTooltip()));
  drawing.addEventListener("focusin", (event) => {
    const mark = closest(event.target, "[data-mark]");
    if (mark) showTooltip(view, mark);
  });
  drawing.addEventListener("focusout", () => hideTooltip());
  drawing.addEventListener("keydown", (event) => onKey(view, event));
  drawing.addEventListener("click", (event) => onClick(view, event));
}

/**
 * Puts one mark of each drawing of a view into the order of the tab key, and gives it its name.
 * @param {HTMLElement} view
 */
function makeReachable(view) {
  for (const drawing of all(view, ".wide, .narrow")) {
    const first = drawing.querySelector('[tabindex="0"]') ?? drawing.querySelector("[data-mark]");
    if (first) nameMark(view, /** @type {HTMLElement} */ (first), 0);
  }
}

/**
 * @param {HTMLElement} view
 * @param {HTMLElement} mark
 * @param {number} tabindex
 */
function nameMark(view, mark, tabindex) {
  const { columns, rows } = numbersOf(view);
  const row = rows.get(mark.dataset.mark ?? "");
  mark.setAttribute("tabindex", String(tabindex));
  mark.setAttribute("role", "button");
  mark.setAttribute("aria-label", (row?.values ?? []).map((value, place) => `${columns[place]}: ${value}`).join("; ") || "mark");
}

/**
 * Returns the mark at a pointer: the one under it, else the nearest within reach.
 * @param {HTMLElement} view
 * @param {MouseEvent} event
 * @returns {HTMLElement | null}
 */
function markAt(view, event) {
  const under = closest(event.target, "[data-mark]");
  if (under) return under;
  let nearest = null;
  let least = REACH;
  for (const mark of marksOf(view)) {
    const box = mark.getBoundingClientRect();
    const across = Math.max(box.left - event.clientX, event.clientX - box.right, 0);
    const along = Math.max(box.top - event.clientY, event.clientY - box.bottom, 0);
    const distance = Math.hypot(across, along);
    if (distance < least) [nearest, least] = [mark, distance];
  }
  return nearest;
}

/**
 * @param {HTMLElement} view
 * @param {HTMLElement} mark
 */
function showTooltip(view, mark) {
  if (currentMarks.includes(mark) && !tooltip.hidden) return;
  hideTooltip();
  const numbers = numbersOf(view);
  const row = numbers.rows.get(mark.dataset.mark ?? "");
  if (!row) return;
  currentMarks = marksOf(view).filter((other) => other.dataset.mark === mark.dataset.mark);
  for (const other of currentMarks) other.classList.add("current");
  const list = element("dl");
  row.values.forEach((value, place) => {
    const column = numbers.columns[place];
    if (column !== "method" && value) list.append(element("dt", {}, column), element("dd", {}, value));
  });
  const hint = element("p", {}, "Click or Enter opens the cell.");
  tooltip.replaceChildren(element("strong", {}, seriesOf(numbers, row) || mark.dataset.series || ""), list, hint);
  tooltip.hidden = false;
  mark.setAttribute("aria-describedby", tooltip.id);
  const box = mark.getBoundingClientRect();
  const { width, height } = tooltip.getBoundingClientRect();
  const above = box.top - height - 10;
  tooltip.style.left = `${Math.max(8, Math.min(box.left + box.width / 2 - width / 2, innerWidth - width - 8))}px`;
  tooltip.style.top = `${above > 8 ? above : Math.max(8, Math.min(box.bottom + 10, innerHeight - height - 8))}px`;
}

/** Hides the tooltip, and returns whether it was shown. */
function hideTooltip() {
  const was = !tooltip.hidden;
  tooltip.hidden = true;
  for (const mark of currentMarks) {
    mark.classList.remove("current");
    mark.removeAttribute("aria-describedby");
  }
  currentMarks = [];
  return was;
}

/**
 * @param {HTMLElement} view
 * @param {KeyboardEvent} event
 */
function onKey(view, event) {
  const mark = closest(event.target, "[data-mark]");
  if (!mark || event.ctrlKey || event.metaKey || event.altKey) return;
  const marks = marksOf(view);
  const place = marks.indexOf(mark);
  const last = marks.length - 1;
  /** @type {Record<string, number>} */
  const places = {
    ArrowRight: Math.min(place + 1, last), ArrowDown: Math.min(place + 1, last),
    ArrowLeft: Math.max(place - 1, 0), ArrowUp: Math.max(place - 1, 0), Home: 0, End: last,
  };
  if (event.key in places) {
    event.preventDefault();
    const next = marks[places[event.key]];
    mark.setAttribute("tabindex", "-1");
    nameMark(view, next, 0);
    next.focus();
  } else if ((event.key === "Enter" || event.key === " ") && mark.dataset.cell) {
    event.preventDefault();
    changeState({ cell: mark.dataset.cell });
  }
}

/**
 * Opens the cell of the mark that was clicked, on a touch screen at the second touch; a click on the label of a series
 * isolates the series.
 * @param {HTMLElement} view
 * @param {MouseEvent} event
 */
function onClick(view, event) {
  const mark = markAt(view, event);
  const touched = event instanceof PointerEvent && event.pointerType === "touch";
  const label = closest(event.target, "[data-series]");
  if (label && !label.dataset.mark) {
    toggleSeries(label.dataset.series ?? "");
  } else if (mark && touched && touchedMark !== mark) {
    touchedMark = mark;
    showTooltip(view, mark);
  } else if (mark?.dataset.cell) {
    hideTooltip();
    changeState({ cell: mark.dataset.cell });
  }
}
