"use strict";
// The page that has 'Try it' and nothing else: headline, a tab for each loss.

{
  const page = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("page");
  const { toggle, paint } = C.theme(main);

  const sheets = page.panels.map((panel) => C.el("div", { class: "sheet" }, C.tryIt(panel)));
  const tabs = page.panels.map((panel, number) => C.el("button", { type: "button", on: { click: () => show(number) } }, C.capital(panel.loss)));
  const show = (number) => {
    sheets.forEach((node, i) => node.classList.toggle("away", i !== number));
    tabs.forEach((node, i) => node.setAttribute("aria-pressed", String(i === number)));
  };
  const scored = ({ loss, test }) => `${C.capital(loss)}${test ? `: test accuracy ${C.percent(test.accuracy)}, 95 % interval ${C.percent(test.interval[0])} to ${C.percent(test.interval[1])}` : ", not scored on test rows"}.`;

  main.replaceChildren(
    C.el("header", { class: "top" }, C.el("div", { class: "brand" }, C.el("span", {}, "colinear"), toggle),
      C.el("h1", {}, page.name), page.panels.map((panel) => C.el("p", { class: "lead" }, scored(panel)))),
    ...(sheets.length > 1 ? [C.el("nav", { class: "tabs", "aria-label": "Losses" }, tabs)] : []), ...sheets,
    C.el("footer", {}, `Made by colinear ${page.version}. This page is one file and asks nothing of a network.`));
  paint();
  show(0);
}
