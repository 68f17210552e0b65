/** Makes the elements of each long table shortly before it comes into view or is printed, so that a page opens fast. */
function startLongTables() {
  const holders = new Set(all(document, ".table.later"));
  const make = (/** @type {HTMLElement} */ holder) => {
    if (!holders.delete(holder)) return;
    observer.unobserve(holder);
    holder.innerHTML = holder.querySelector("noscript")?.textContent ?? "";
    holder.classList.remove("later");
    startTables(holder);
    applyIsolation(holder);
  };
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) make(/** @type {HTMLElement} */ (target));
  }, { rootMargin: "0px 0px 600px 0px" });
  for (const holder of holders) observer.observe(holder);
  const makePrinted = () => {
    for (const holder of holders) if (!holder.closest("details:not([open])")) make(holder);
  };
  window.addEventListener("beforeprint", makePrinted);
  matchMedia("print").addEventListener("change", ({ matches }) => void (matches && makePrinted()));
}
