// Runs before the page is drawn, so that it does not appear in the wrong colours first.
try {
  const chosen = localStorage.getItem('console-theme');
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the system's colours are used.
}
