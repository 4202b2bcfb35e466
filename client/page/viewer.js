// Brings the transcript to life: what is spoken is highlighted, a click plays, a line can be corrected, a voice renamed.
// The lines are viewer.py's. They come and go with each answer, so that all listeners are the document's.
"use strict";

window.viewer = (() => {
  const recording = () => document.getElementById("player");
  const list = () => document.getElementById("lines");
  const lines = () => Array.from(list()?.children ?? []);
  const at = (line) => Number(line.dataset.start);
  const text = (line) => line.querySelector(".text");
  const heard = (element) => element.dataset.heard ?? element.textContent;

  // --- the spoken line and word

  function lineAt(time) {
    return lines().findLast((line) => at(line) <= time && time < Number(line.dataset.end)) ?? null;
  }

  function follow() {
    const time = recording().currentTime;
    const spoken = lineAt(time);
    const shown = list()?.querySelector("[aria-current]");
    if (shown !== spoken) {
      shown?.removeAttribute("aria-current");
      spoken?.setAttribute("aria-current", "true");
      if (spoken && !list().querySelector("[contenteditable]")) reveal(spoken);
    }
    highlight(spoken, time);
  }

  function followWhilePlaying() {
    if (!recording()) return;
    follow();
    if (!recording().paused) requestAnimationFrame(followWhilePlaying);
  }

  // Within its list: the page itself stays where the reader put it.
  function reveal(line) {
    const { scrollTop, clientHeight } = list();
    const above = line.offsetTop < scrollTop;
    const below = line.offsetTop + line.offsetHeight > scrollTop + clientHeight;
    if (above || below) list().scrollTop = line.offsetTop - clientHeight / 4;
  }

  // As a range over the text, not as elements: lines stay plain, however many, and can be edited.
  function highlight(line, time) {
    if (!CSS.highlights) return; // older browsers show the line alone
    const word = line && words(line).find(([start, end]) => start <= time && time < end);
    if (!word) return void CSS.highlights.delete("spoken-word");
    const range = new Range();
    range.setStart(text(line).firstChild, word[2]);
    range.setEnd(text(line).firstChild, word[3]);
    CSS.highlights.set("spoken-word", new Highlight(range));
  }

  // [start, end, first character, last]; none of a line that was corrected: nobody knows the times of other words.
  function words(line) {
    const changed = text(line).textContent !== heard(text(line)) || text(line).isContentEditable;
    return changed ? [] : JSON.parse(line.dataset.words);
  }

  // --- playing from a line or a word

  function play(time) {
    if (!recording()) return;
    recording().currentTime = time;
    recording().play().catch(() => {}); // what cannot be played says so by its own error event
  }

  function playFromPoint(line, event) {
    const place = document.caretRangeFromPoint?.(event.clientX, event.clientY);
    const onText = place && place.startContainer === text(line).firstChild;
    const word = onText && words(line).find(([, , begins, ends]) => begins <= place.startOffset && place.startOffset < ends);
    play(word ? word[0] : at(line));
  }

  // --- corrections

  function edit(line) {
    const element = text(line);
    element.dataset.heard = heard(element);
    element.dataset.before = element.textContent;
    element.contentEditable = "true";
    element.setAttribute("role", "textbox");
    element.setAttribute("aria-label", "Corrected text");
    element.focus();
    getSelection().selectAllChildren(element);
    getSelection().collapseToEnd();
  }

  function endEdit(element, keep) {
    const line = element.closest(".line");
    element.textContent = (keep ? element.textContent : element.dataset.before).replace(/\s+/g, " ").trim();
    for (const name of ["contenteditable", "role", "aria-label", "data-before"]) element.removeAttribute(name);
    line.classList.toggle("corrected", element.textContent !== heard(element));
  }

  function rename(field) {
    for (const name of document.querySelectorAll("#lines .voice")) {
      if (name.dataset.voice === field.dataset.voice) name.textContent = field.value.trim() || field.defaultValue;
    }
  }

  function corrections() {
    const changed = lines().filter((line) => text(line).textContent !== heard(text(line)));
    const fields = Array.from(document.querySelectorAll("#voices .name"));
    return {
      texts: Object.fromEntries(changed.map((line) => [line.dataset.number, text(line).textContent])),
      names: Object.fromEntries(fields.map((field) => [field.dataset.voice, field.value])),
    };
  }

  // --- the keyboard: one line at a time is in the tab order; up and down go to others

  function enter(line) {
    for (const button of list().querySelectorAll("button[tabindex='0']")) button.tabIndex = -1;
    for (const button of line.querySelectorAll("button")) button.tabIndex = 0;
  }

  function move(line, key) {
    const all = lines();
    const to = {
      ArrowUp: line.previousElementSibling,
      ArrowDown: line.nextElementSibling,
      Home: all[0],
      End: all[all.length - 1],
    }[key];
    to?.querySelector(".time").focus();
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
    else if (event.target.closest(".time")) play(at(line));
    else if (getSelection().isCollapsed) playFromPoint(line, event); // else somebody selects text to copy it
  }

  document.addEventListener("click", click);
  document.addEventListener("keydown", press);
  document.addEventListener("focusin", (event) => {
    const line = event.target.closest?.("#lines .line");
    if (line) enter(line);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.isContentEditable && event.target.closest("#lines")) endEdit(event.target, true);
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches?.("#voices .name")) rename(event.target);
  });
  // Events of media do not bubble: they are caught on their way down.
  const ofPlayer = (action) => (event) => event.target === recording() && action();
  document.addEventListener("playing", ofPlayer(followWhilePlaying), true);
  document.addEventListener("seeked", ofPlayer(follow), true);
  document.addEventListener("error", ofPlayer(() => (document.getElementById("unplayable").hidden = false)), true);

  return { corrections };
})();
