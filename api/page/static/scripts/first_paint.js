// What cannot wait for modules, and so is none: the chosen theme, before anything is drawn, and which modules to load.
{
  try {
    const theme = JSON.parse(localStorage.getItem("theme"));
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch { /* the browser keeps nothing: its own theme is shown */ }

  const view = location.hash.startsWith("#/t/") ? "editor" : location.hash === "#/live" ? "live" : "home";
  for (const link of document.querySelectorAll(`link[data-view=${view}]`)) link.rel = "modulepreload";
}
