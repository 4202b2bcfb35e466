// Behaviour of the transcript: highlights the spoken word, plays on click, edits lines, renames speakers.
// viewer.py renders the lines and replaces them with each update, so all listeners are attached to the document.
"use strict";

window.viewer = (() => {
  const player = () => document.getElementById("player");
  const list = () => document.getElementById("lines");
  const lines = () => Array.from(list()?.children ?? []);
  const startOf = (line) => Number(line.dataset.start);
  const textOf = (line) => line.querySelector(".text");
  const originalText = (element) => element.dataset.original ?? element.textContent;

  // --- highlighting of the spoken line and word

  function lineAt(time) {
    return lines().findLast((line) => startOf(line) <= time && time < Number(line.dataset.end)) ?? null;
  }

  function follow() {
    const time = player().currentTime;
    const spoken = lineAt(time);
    const highlighted = list()?.querySelector("[aria-current]");
    if (highlighted !== spoken) {
      highlighted?.removeAttribute("aria-current");
      spoken?.setAttribute("aria-current", "true");
      if (spoken && !list().querySelector("[contenteditable]")) scrollToLine(spoken);
    }
    highlight(spoken, time);
  }

  function followWhilePlaying() {
    if (!player()) return;
    follow();
    if (!player().paused) requestAnimationFrame(followWhilePlaying);
  }

  // Scrolls only the list, not the page.
  function scrollToLine(line) {
    const { scrollTop, clientHeight } = list();
    const above = line.offsetTop < scrollTop;
    const below = line.offsetTop + line.offsetHeight > scrollTop + clientHeight;
    if (above || below) list().scrollTop = line.offsetTop - clientHeight / 4;
  }

  // A range over the text rather than an element per word keeps lines light, and editable.
  function highlight(line, time) {
    if (!CSS.highlights) return; // older browsers highlight only the line
    const word = line && words(line).find(([start, end]) => start <= time && time < end);
    if (!word) return void CSS.highlights.delete("spoken-word");
    const range = new Range();
    range.setStart(textOf(line).firstChild, word[2]);
    range.setEnd(textOf(line).firstChild, word[3]);
    CSS.highlights.set("spoken-word", new Highlight(range));
  }

  // [start, end, first character, last]; none for an edited line, whose words have no known times.
  function words(line) {
    const edited = textOf(line).textContent !== originalText(textOf(line)) || textOf(line).isContentEditable;
    return edited ? [] : JSON.parse(line.dataset.words);
  }

  // --- playing from a line or a word

  function play(time) {
    if (!player()) return;
    player().currentTime = time;
    player().play().catch(() => {}); // failures are reported by the error event
  }

  function playFromPoint(line, event) {
    const caret = document.caretRangeFromPoint?.(event.clientX, event.clientY);
    const onText = caret && caret.startContainer === textOf(line).firstChild;
    const word = onText && words(line).find(([, , first, last]) => first <= caret.startOffset && caret.startOffset < last);
    play(word ? word[0] : startOf(line));
  }

  // --- editing

  function edit(line) {
    const element = textOf(line);
    element.dataset.original = originalText(element);
    element.dataset.before = element.textContent;
    element.contentEditable = "true";
    element.setAttribute("role", "textbox");
    element.setAttribute("aria-label", "Line text");
    element.focus();
    getSelection().selectAllChildren(element);
    getSelection().collapseToEnd();
  }

  function endEdit(element, keep) {
    const line = element.closest(".line");
    element.textContent = (keep ? element.textContent : element.dataset.before).replace(/\s+/g, " ").trim();
    for (const name of ["contenteditable", "role", "aria-label", "data-before"]) element.removeAttribute(name);
    line.classList.toggle("corrected", element.textContent !== originalText(element));
  }

  function rename(field) {
    for (const name of document.querySelectorAll("#lines .speaker")) {
      if (name.dataset.speaker === field.dataset.speaker) name.textContent = field.value.trim() || field.defaultValue;
    }
  }

  function corrections() {
    const changed = lines().filter((line) => textOf(line).textContent !== originalText(textOf(line)));
    const fields = Array.from(document.querySelectorAll("#speakers .name"));
    return {
      texts: Object.fromEntries(changed.map((line) => [line.dataset.number, textOf(line).textContent])),
      names: Object.fromEntries(fields.map((field) => [field.dataset.speaker, field.value])),
    };
  }

  // --- keyboard: one line at a time is in the tab order; arrow keys move to others

  function focusLine(line) {
    for (const button of list().querySelectorAll("button[tabindex='0']")) button.tabIndex = -1;
    for (const button of line.querySelectorAll("button")) button.tabIndex = 0;
  }

  function move(line, key) {
    const all = lines();
    const target = {
      ArrowUp: line.previousElementSibling,
      ArrowDown: line.nextElementSibling,
      Home: all[0],
      End: all[all.length - 1],
    }[key];
    target?.querySelector(".time").focus();
  }

  function press(event) {
    const line = event.target.closest?.("#lines .line");
    if (!line || event.isComposing) return;
    if (event.target.isContentEditable) {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      endEdit(event.target, event.key === "Enter");
      line.querySelector(".time").focus();
    } else if (["ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
      move(line, event.key);
    } else if (event.key === "F2" && line.querySelector(".edit")) {
      edit(line);
    } else {
      return;
    }
    event.preventDefault();
  }

  function click(event) {
    const line = event.target.closest?.("#lines .line");
    if (!line || event.target.isContentEditable) return;
    if (event.target.closest(".edit")) edit(line);
    else if (event.target.closest(".time")) play(startOf(line));
    else if (getSelection().isCollapsed) playFromPoint(line, event); // otherwise the user is selecting text
  }

  document.addEventListener("click", click);
  document.addEventListener("keydown", press);
  document.addEventListener("focusin", (event) => {
    const line = event.target.closest?.("#lines .line");
    if (line) focusLine(line);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.isContentEditable && event.target.closest("#lines")) endEdit(event.target, true);
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches?.("#speakers .name")) rename(event.target);
  });
  // Media events do not bubble, so they are captured.
  const ofPlayer = (action) => (event) => event.target === player() && action();
  document.addEventListener("playing", ofPlayer(followWhilePlaying), true);
  document.addEventListener("seeked", ofPlayer(follow), true);
  document.addEventListener("error", ofPlayer(() => (document.getElementById("unplayable").hidden = false)), true);

  return { corrections };
})();
