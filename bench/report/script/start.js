/** Starts the page: what needs no records first, so that it can be used while they are read. */
async function start() {
  document.body.append(statusLine, tooltip);
  pageState = stateOf(location.hash);
  startIsolation();
  startFigures();
  startTables(document);
  startLongTables();
  startChoices(document);
  followAddress();
  if (!pageState.has("cell")) goTo(pageState.get("at"));
  const section = document.getElementById("all-cells");
  if (!section) return;
  try {
    const records = await readRecords();
    if (records) startCells(records, section);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    section.append(element("p", { class: "warning", role: "alert" }, `The records of this page cannot be read: ${reason}`));
  }
}

void start();
