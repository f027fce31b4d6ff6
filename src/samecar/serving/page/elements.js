/** Makes an element with these properties and children. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Does what may take away the element that has the keyboard, which then goes on to what is found. */
export function keepFocus(change) {
  const { activeElement } = document;
  change();
  if (activeElement === null || activeElement.getClientRects().length > 0) return;
  const next = document.querySelector("#work").hidden ? "h1" : "#found";
  document.querySelector(next).focus({ preventScroll: true });
}
