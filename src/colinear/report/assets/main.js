"use strict";
// Put the page together: headline, one sheet a loss, switching between them.

{
  const page = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("page");
  const { toggle, paint } = C.theme(main);

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
    const name = page.comparison ? C.nameOf(panel) : C.capital(panel.loss);
    return C.el("div", { class: "sheet", "data-panel": number },
      page.panels.length > 1 && C.el("p", { class: "sheetname" }, name),
      C.search(panel, chosen), C.candidates(panel, chosen), C.winner(panel), C.facts(panel), C.tryIt(panel));
  };

  const tabs = C.el("nav", { class: "tabs", "aria-label": "Losses" }, page.panels.map((panel, number) =>
    C.el("button", { type: "button", "data-panel": number, on: { click: () => show(number) } }, page.comparison ? C.nameOf(panel) : C.capital(panel.loss))));
  const sheets = page.panels.map(sheet);

  const show = (number) => {
    sheets.forEach((node, i) => node.classList.toggle("away", i !== number));
    for (const button of main.querySelectorAll("button[data-panel]"))
      button.setAttribute("aria-pressed", String(Number(button.dataset.panel) === number));
    C.fitCharts();
  };

  const header = C.headline(page);
  header.firstChild.append(toggle);
  main.replaceChildren(header, C.cards(page, show), ...(page.comparison ? [C.compare(page, show)] : page.own.pairs.length ? [C.ownTest(page)] : []),
    ...(page.panels.length > 1 ? [tabs] : []), ...sheets,
    C.el("footer", {}, `Made by colinear ${page.panels[0].environment.colinear}. This page is one file and asks nothing of a network.`));
  paint();
  show(0);
}
