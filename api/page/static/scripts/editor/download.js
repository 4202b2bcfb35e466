// Downloads: the server names the file.

import { element } from "../dom.js";

/**
 * Download a file. The browser shows its progress, however large it is.
 *
 * @param {string} address of the page's own server.
 */
export function download(address) {
  const link = element("a", { href: address, download: "", hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}
