/** Units of a quantity, the largest first: the least value that is written in it, its size and its name. */
/** @type {Record<string, [number, number, string][]>} */
const UNITS = {
  bytes: [[2 ** 30, 2 ** 30, "GiB"], [2 ** 20, 2 ** 20, "MiB"], [2 ** 10, 2 ** 10, "KiB"], [0, 1, "B"]],
  seconds: [[1, 1, "s"], [1e-3, 1e-3, "ms"], [0, 1e-6, "µs"]],
};

/**
 * Returns a number with as many significant digits as a reader needs.
 * @param {number} value
 * @param {number} [digits]
 */
function rounded(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return Math.abs(value) < 10000 ? String(value) : value.toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

/**
 * Returns a value of a record as a table shows it; an en dash if it is absent.
 * @param {unknown} value
 * @param {string} kind of the column: text, number, bytes, ratio or seconds.
 */
function shown(value, kind) {
  if (value === undefined || value === null || value === "") return "–";
  if (typeof value !== "number") return textOf(value);
  const unit = UNITS[kind]?.find(([least]) => Math.abs(value) >= least);
  if (unit) return `${rounded(value / unit[1], 3)} ${unit[2]}`;
  return kind === "ratio" ? value.toFixed(Math.abs(value) < 0.1 ? 4 : 3) : rounded(value);
}

/**
 * Returns a value in full precision as text; the empty text if it is absent.
 * @param {unknown} value
 * @returns {string}
 */
function textOf(value) {
  if (value === undefined || value === null) return "";
  if (value instanceof ExactJson) return value.text;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
