/**
 * Returns the bytes that a text in base64 stands for.
 * @param {string} base64
 */
function decoded(base64) {
  const characters = atob(base64.trim());
  const bytes = new Uint8Array(characters.length);
  for (let place = 0; place < bytes.length; place += 1) bytes[place] = characters.charCodeAt(place);
  return bytes;
}

/**
 * Returns the text whose gzip is in `base64`.
 * @param {string} base64
 */
function inflated(base64) {
  const stream = new Blob([decoded(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

/**
 * Saves a file.
 * @param {string} name
 * @param {Blob | string} content
 * @param {string} [type]
 */
function save(name, content, type = "text/plain") {
  const blob = typeof content === "string" ? new Blob([content], { type: `${type};charset=utf-8` }) : content;
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Returns the name of the page's file without its ending. */
function pageStem() {
  const last = decodeURIComponent(location.pathname.split("/").pop() ?? "");
  return last.replace(/\.html?$/i, "") || "report";
}

/**
 * Returns rows as CSV (RFC 4180).
 * @param {string[][]} rows
 */
function csvOf(rows) {
  const field = (/** @type {string} */ text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return rows.map((row) => `${row.map(field).join(",")}\r\n`).join("");
}
