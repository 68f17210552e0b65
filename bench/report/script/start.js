/** Starts the page: what needs no records first, so that it can be used while they are read. */
async function start() {
  document.body.append(statusLine, tooltip);
  pageState = stateOf(location.hash);
  startIsolation();
  startFigures();
  startTables(document);
  startLongTables();
  followAddress();
  if (!pageState.has("cell")) goTo(pageState.get("at"));
  const section = document.getElementById("all-cells");
  if (!section) return;
  try {
    const [script, records] = await Promise.all([packed("cells-script"), packed("data")]);
    document.body.append(element("script", {}, script));  // which defines what follows
    startCells(new Records(JSON.parse(records)), section);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    section.append(element("p", { class: "warning", role: "alert" }, `The records of this page cannot be read: ${reason}`));
  }
}

/**
 * Returns the text that an element of the page holds packed.
 * @param {string} id
 */
function packed(id) {
  return inflated(document.getElementById(id)?.textContent ?? "");
}

void start();
