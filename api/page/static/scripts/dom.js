// Elements of the page. Texts only ever become text nodes: a transcript may contain anything that was said.

/**
 * Make an element.
 *
 * @param {string} tag name, such as "button"; "svg:path" for SVG.
 * @param {Object<string, any>} attributes `class`, ARIA and other attributes; functions are listeners (`onclick`);
 *   `true` sets an attribute without a value; `false`, `null` and `undefined` leave it out.
 * @param {...(Node|string|number|null|false|undefined|Array)} children texts and nodes, in order.
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}
