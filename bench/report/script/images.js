const PIXELS_PER_UNIT = 2;  // of a PNG: twice as fine as the drawing on a plain screen

/**
 * Returns the drawing of a view as an SVG file in light colours, with its finding as title.
 * @param {HTMLElement} view
 */
function svgOfView(view) {
  const drawn = view.querySelector(".wide svg, .narrow svg");
  if (!drawn) return "";
  const copied = /** @type {SVGElement} */ (drawn.cloneNode(true));
  copied.removeAttribute("aria-hidden");
  for (const part of [...copied.querySelectorAll("[tabindex], .dimmed, .current")]) {
    for (const name of ["tabindex", "role", "aria-label"]) part.removeAttribute(name);
    part.classList.remove("dimmed", "current");
  }
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  title.textContent = view.querySelector(".finding")?.textContent ?? "";
  copied.prepend(title);
  return new XMLSerializer().serializeToString(copied).replace(/var\(--c-[0-9a-f]{6},(#[0-9a-f]{6})\)/g, "$1");
}

/**
 * Returns an SVG file as a PNG file on white.
 * @param {string} svg
 * @returns {Promise<Blob>}
 */
async function pngOf(svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = element("canvas", { width: image.width * PIXELS_PER_UNIT, height: image.height * PIXELS_PER_UNIT });
  const context = canvas.getContext("2d");
  if (!context) throw new Error("The browser cannot draw an image.");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The image is too large."))), "image/png");
  });
}
