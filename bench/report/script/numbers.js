/**
 * Returns the number at the start of a text such as `1,234 [1,200, 1,250]` or `−0.5 %`; NaN if there is none.
 * @param {string} text
 */
function leadingNumber(text) {
  const found = /^[\s<>≤≥~±]*([+\-−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:e[+-]?\d+)?)/i.exec(text);
  return found?.[1] && /\d/.test(found[1]) ? Number(found[1].replace("−", "-").replaceAll(",", "")) : NaN;
}

/**
 * Compares two texts or numbers; texts with numbers in them in the order of the numbers.
 * @param {string | number} one
 * @param {string | number} other
 */
function compared(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}
