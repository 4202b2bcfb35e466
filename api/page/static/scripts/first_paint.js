// The chosen theme, set before anything is drawn: the only script that is not a module, so that it runs in time.
{
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
