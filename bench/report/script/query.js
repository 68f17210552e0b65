/**
 * A query of the table of all cells: words that stand anywhere in a row, and terms such as `depth>=8` or
 * `method="bp"`, joined by spaces; a row has to meet all of them.
 * @typedef {{name: string, operator: string, value: string}} Term of which the name is empty for a word.
 */

/**
 * Returns the terms of a query.
 * @param {string} query
 * @returns {Term[]}
 */
function termsOf(query) {
  const pattern = /(?:([A-Za-z_][\w.-]*)(<=|>=|!=|=|<|>))?("(?:[^"\\]|\\.)*"|\S+)/g;
  return [...query.matchAll(pattern)].map(([, name = "", operator = "", value]) => {
    const quoted = value.length > 1 && value.startsWith('"') && value.endsWith('"');
    return { name, operator, value: quoted ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value };
  });
}

/**
 * Returns the query that terms stand for.
 * @param {Term[]} terms
 */
function queryOf(terms) {
  const plain = /^[^\s"<>=!\\]+$/;
  const quoted = (/** @type {string} */ value) => (plain.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`);
  return terms.map(({ name, operator, value }) => `${name}${operator}${quoted(value)}`).join(" ");
}

/**
 * Returns whether a value meets a term.
 * @param {unknown} value
 * @param {Term} term
 */
function meets(value, { operator, value: wanted }) {
  const text = textOf(value);
  const [one, other] = [Number(text), Number(wanted)];
  const areNumbers = text !== "" && wanted !== "" && !Number.isNaN(one) && !Number.isNaN(other);
  const same = areNumbers ? one === other : text.toLowerCase() === wanted.toLowerCase();
  if (operator === "=") return same;
  if (operator === "!=") return !same;
  if (text === "") return false;
  const order = areNumbers ? one - other : compared(text, wanted);
  return operator.startsWith("<") ? order < 0 || (operator === "<=" && same) : order > 0 || (operator === ">=" && same);
}

/**
 * Returns the paths of the columns that names stand for: a whole path, or the end of one after a full stop.
 * @param {Records} records
 */
function pathsByName(records) {
  const paths = [...records.table.map(({ path }) => path), ...records.stored.keys(), ...records.derived.keys()];
  /** @type {Map<string, string>} */
  const byName = new Map();
  for (const path of paths) if (!byName.has(path)) byName.set(path, path);
  for (const path of paths) {
    const end = path.slice(path.lastIndexOf(".") + 1);
    if (!byName.has(end)) byName.set(end, path);
  }
  return byName;
}
