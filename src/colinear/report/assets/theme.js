"use strict";
// Light, dark and print: the system's colours until the reader chooses, and charts redrawn in them.

/** Begin: returns the button that switches; call `paint` of it when the page stands. */
C.theme = (main) => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let theme = null; // the reader's choice

  const paint = () => {
    root.dataset.theme = theme ?? (system.matches ? "dark" : "light");
    C.fitCharts?.(true); // a page may have none
  };
  const toggle = C.el("button", { type: "button", class: "theme", title: "Light or dark", "aria-label": "Light or dark" }, "◐");
  toggle.addEventListener("click", () => {
    theme = root.dataset.theme === "dark" ? "light" : "dark";
    paint();
  });
  const printing = (now) => {
    root.classList.toggle("printing", now);
    C.fitCharts?.(true);
  };
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));
  matchMedia("print").addEventListener("change", (event) => printing(event.matches));
  system.addEventListener("change", paint);
  new ResizeObserver(() => C.fitCharts?.()).observe(main);
  return { toggle, paint };
};
