// The view that asks for the password.

import { element } from "./dom.js";
import { logIn } from "./server/session.js";
import { describeProblem } from "./text/problems.js";

/**
 * @param {HTMLElement} host
 * @returns {Promise<Object>} the session, once the password was right.
 */
export function mountLogIn(host) {
  document.title = "Log in - Whisper";
  return new Promise((resolve) => {
    const password = element("input", { type: "password", id: "password", autocomplete: "current-password", required: true, "aria-describedby": "log-in-error" });
    const error = element("p", { class: "field-error", id: "log-in-error", role: "alert" });
    const button = element("button", { class: "primary" }, "Log in");
    const submit = async (event) => {
      event.preventDefault();
      button.disabled = true;
      error.textContent = "";
      try {
        const session = await logIn(password.value);
        host.replaceChildren();
        resolve(session);
      } catch (problem) {
        error.textContent = describeProblem(problem).title;
        button.disabled = false;
        password.select();
      }
    };
    host.replaceChildren(element("form", { class: "card stack log-in", onsubmit: submit },
      element("h1", {}, "Log in"),
      element("div", { class: "field" }, element("label", { class: "field-label", for: "password" }, "Password"), password,
        element("p", { class: "field-hint" }, "One of the server's keys. Whoever set it up knows it.")),
      error, button));
    password.focus();
  });
}
