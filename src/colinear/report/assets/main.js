"use strict";
// Put the page together: headline, one sheet a loss, switching between them, colours for dark and print.

{
  const page = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const main = document.getElementById("page");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let theme = null; // the reader's choice

  const paint = () => {
    root.dataset.theme = theme ?? (system.matches ? "dark" : "light");
    C.fitCharts(true);
  };

  /** Which candidate is looked at: set(number) tells all who listen. */
  const choice = (number) => {
    const listeners = [];
    const chosen = {
      number,
      set: (next) => { chosen.number = next; for (const tell of listeners) tell(next); },
      listen: (tell) => { listeners.push(tell); tell(chosen.number); },
    };
    return chosen;
  };

  const sheet = (panel, number) => {
    const chosen = choice(panel.best);
    const name = page.comparison ? `${panel.run} · ${panel.loss}` : C.capital(panel.loss);
    return C.el("div", { class: "sheet", "data-panel": number },
      page.panels.length > 1 && C.el("p", { class: "sheetname" }, name),
      C.search(panel, chosen), C.candidates(panel, chosen), C.winner(panel), C.facts(panel), C.tryIt(panel));
  };

  const tabs = C.el("nav", { class: "tabs", "aria-label": "Losses" }, page.panels.map((panel, number) =>
    C.el("button", { type: "button", "data-panel": number, on: { click: () => show(number) } }, page.comparison ? `${panel.run} · ${panel.loss}` : C.capital(panel.loss))));
  const sheets = page.panels.map(sheet);

  const show = (number) => {
    sheets.forEach((node, i) => node.classList.toggle("away", i !== number));
    for (const button of main.querySelectorAll("button[data-panel]"))
      button.setAttribute("aria-pressed", String(Number(button.dataset.panel) === number));
    C.fitCharts();
  };

  const toggle = C.el("button", { type: "button", class: "theme", title: "Light or dark", "aria-label": "Light or dark" }, "◐");
  toggle.addEventListener("click", () => {
    theme = root.dataset.theme === "dark" ? "light" : "dark";
    paint();
  });

  const header = C.headline(page);
  header.firstChild.append(toggle);
  main.replaceChildren(header, C.cards(page, show), ...(page.comparison ? [C.compare(page, show)] : []),
    ...(page.panels.length > 1 ? [tabs] : []), ...sheets,
    C.el("footer", {}, `Made by colinear ${page.panels[0].environment.colinear}. This page is one file and asks nothing of a network.`));
  paint();
  show(0);

  const printing = (now) => {
    root.classList.toggle("printing", now);
    C.fitCharts(true);
  };
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));
  matchMedia("print").addEventListener("change", (event) => printing(event.matches));
  system.addEventListener("change", paint);
  new ResizeObserver(() => C.fitCharts()).observe(main);
}
