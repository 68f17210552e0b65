/**
 * Copies a text, also where the page may not use the clipboard's interface, as from a file.
 * @param {string} text
 * @param {HTMLButtonElement} pressed shows for a moment how it went.
 */
async function copy(text, pressed) {
  const label = pressed.dataset.label ?? (pressed.dataset.label = pressed.textContent ?? "");
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = copySelected(text, pressed);
  }
  pressed.textContent = done ? "Copied" : "Not copied: the browser refuses it";
  announce(pressed.textContent);
  setTimeout(() => (pressed.textContent = label), 2000);
}

/**
 * Copies a text through a selection, and returns whether it was copied.
 * @param {string} text
 * @param {HTMLElement} pressed has the focus afterwards.
 */
function copySelected(text, pressed) {
  const field = element("textarea", { readonly: true, class: "hidden", "aria-label": "Text to copy" });
  field.value = text;
  pressed.after(field);  // beside the button: in a modal dialog, nothing outside can be selected
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  pressed.focus();
  return done;
}
