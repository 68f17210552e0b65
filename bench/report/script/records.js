/**
 * A column of records: a value per record, or distinct values and for each record the index of its value, -1 where the
 * record does not have the column. `exact` holds JSON of values whose integers a number cannot hold, by index.
 * @typedef {{a?: unknown[], v?: unknown[], i?: number[], exact?: Record<string, string>}} Column
 * @typedef {{path: string, title: string, unit: string, kind: string}} TableColumn
 * @typedef {{count: number, columns: Record<string, Column>, derived: Record<string, Column>,
 *   raw: Record<string, Column> | null, raw_file: string | null, table: TableColumn[]}} Data
 */

/** A value as JSON, which has integers that a number cannot hold exactly. */
class ExactJson {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/** All records of the page. */
class Records {
  /** @param {Data} data */
  constructor(data) {
    this.count = data.count;
    this.table = data.table;
    this.rawFile = data.raw_file;
    /** @type {Map<string, Column>} what the records hold */
    this.stored = new Map(Object.entries(data.columns));
    /** @type {Map<string, Column>} what was computed from them */
    this.derived = new Map(Object.entries(data.derived));
    /** @type {Map<string, Column> | null} samples and traces; null until they are loaded */
    this.raw = data.raw && new Map(Object.entries(data.raw));
    /** @type {Promise<void> | null} */
    this.loading = null;
    /** @type {Map<unknown, number>} */
    this.places = new Map();
    for (let index = this.count - 1; index >= 0; index -= 1) this.places.set(this.value("id", index), index);
  }

  /**
   * Returns the value of a record; undefined if it does not have the column.
   * @param {string} path
   * @param {number} index
   * @returns {unknown}
   */
  value(path, index) {
    const column = this.stored.get(path) ?? this.derived.get(path) ?? this.raw?.get(path);
    return column && valueIn(column, index);
  }

  /**
   * Returns a value as text; the empty text if it is absent.
   * @param {string} path
   * @param {number} index
   */
  text(path, index) {
    return textOf(this.value(path, index));
  }

  /** Loads samples and traces, from the file beside the page if they are not in it. */
  load() {
    if (this.raw) return Promise.resolve();
    this.loading ??= rawColumns(this.rawFile ?? "").then(
      (columns) => void (this.raw = columns),
      (error) => {
        this.loading = null;  // another attempt may find the file
        throw error;
      },
    );
    return this.loading;
  }

  /**
   * Returns the records of a cell that differ from one record in the seed at most, the least seed first.
   * @param {number} index
   */
  seedsOf(index) {
    const columns = [...this.stored].filter(([path]) => path.startsWith("cell.") && path !== "cell.seed").map(([, column]) => column);
    const own = columns.map((column) => textOf(valueIn(column, index)));
    const isSame = (/** @type {number} */ other) => columns.every((column, place) => textOf(valueIn(column, other)) === own[place]);
    const found = Array.from({ length: this.count }, (_, other) => other).filter(isSame);
    return sorted(found, (other) => sortKey(this.value("cell.seed", other)), false);
  }

  /**
   * Returns the JSON of a record as it was stored; its samples must be loaded.
   * @param {number} index
   * @param {string} [indent]
   */
  json(index, indent = "") {
    /** @type {Record<string, unknown>} */
    const record = Object.create(null);
    for (const [path, column] of [...this.stored, ...(this.raw ?? [])]) {
      const value = valueIn(column, index);
      if (value === undefined) continue;
      const keys = path.split(".");
      const last = keys.pop() ?? path;
      let place = record;
      for (const key of keys) place = /** @type {Record<string, unknown>} */ (place[key] ??= Object.create(null));
      place[last] = value;
    }
    return jsonOf(record, indent);
  }

  /** Returns all records as lines of JSON. */
  lines() {
    const lines = [];
    for (let index = 0; index < this.count; index += 1) lines.push(this.json(index), "\n");
    return new Blob(lines, { type: "application/jsonl" });
  }
}

/**
 * @param {Column} column
 * @param {number} index
 */
function valueIn(column, index) {
  const place = column.i ? column.i[index] : index;
  if (place < 0) return undefined;
  const exact = column.exact?.[place];
  return exact === undefined ? (column.a ?? column.v)?.[place] : new ExactJson(exact);
}

/**
 * Returns the JSON of a value, in which objects are indented if `indent` is given; lists stay on one line.
 * @param {unknown} value
 * @param {string} indent
 * @param {string} [margin]
 * @returns {string}
 */
function jsonOf(value, indent, margin = "\n") {
  if (value instanceof ExactJson) return value.text;
  if (value === null || typeof value !== "object" || Array.isArray(value)) return JSON.stringify(value);
  const entries = Object.entries(value);
  if (!entries.length) return "{}";
  const inner = margin + indent;
  const parts = entries.map(([key, part]) => `${JSON.stringify(key)}:${indent && " "}${jsonOf(part, indent, inner)}`);
  return indent ? `{${inner}${parts.join(`,${inner}`)}${margin}}` : `{${parts.join(",")}}`;
}

/** @type {((base64: string) => void) | null} */
let receiveRaw = null;

/**
 * Is called by the file beside the page.
 * @param {string} base64
 */
function sidBenchRaw(base64) {
  receiveRaw?.(base64);
}

/**
 * Loads samples and traces from the file beside the page. Only a script can be loaded where the page is a file itself.
 * @param {string} name
 * @returns {Promise<Map<string, Column>>}
 */
async function rawColumns(name) {
  const base64 = await new Promise((resolve, reject) => {
    receiveRaw = resolve;
    const script = element("script", { src: encodeURIComponent(name) });
    script.addEventListener("error", () => reject(new Error(`${name} cannot be loaded. It belongs into the folder of this page, ` +
      "and holds the samples, the traces and the values by epoch.")));
    script.addEventListener("load", () => reject(new Error(`${name} does not hold the samples of a report.`)));
    document.head.append(script);
  });
  return new Map(Object.entries(JSON.parse(await inflated(base64))));
}
