"use strict";
// What every part of the page uses: elements from text, numbers as text, small pictures out of a sprite.
// Nothing here or elsewhere parses HTML: names of strangers become text nodes.

const C = {};

/** An element. props: class, attributes, on: {event: handler}, css: {property: value}; children: nodes or text. */
C.el = (tag, props = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name === "css") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};

/** Text whose options, as --regs, are never broken after their hyphens. */
C.words = (text) => (typeof text === "string" ? text.split(/(--[a-z][a-z-]*)/).map((part, i) => (i % 2 ? C.el("span", { class: "whole" }, part) : part)) : text);

C.section = (name, title, note, ...children) =>
  C.el("section", { class: `part ${name}` }, C.el("h2", {}, title), note && C.el("p", { class: "note" }, C.words(note)), children);

C.figure = (name, title, note, ...children) =>
  C.el("figure", { class: name }, C.el("figcaption", {}, C.el("h3", {}, title), note && C.el("p", { class: "note" }, note)), children);

/** What marks mean: [[colour and form of the swatch, words], ...]; a swatch looks like what it stands for. */
C.key = (items) => C.el("p", { class: "key" }, items.filter(Boolean).map(([name, words]) => C.el("span", {}, C.el("i", { class: `swatch ${name}` }), words)));

/** A table in a box that scrolls, and below it whether there is more than is seen. rows: how many, for the words. */
C.scroll = (label, table, rows = 0) => {
  const box = C.el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
  const hint = C.el("p", { class: "hint", hidden: true });
  const look = () => {
    const [down, aside] = [box.scrollHeight > box.clientHeight + 1, box.scrollWidth > box.clientWidth + 1];
    box.classList.toggle("more", down);
    hint.hidden = !down && !aside;
    hint.textContent = [down && `${C.count(rows)} rows: scroll inside the table for all`, aside && `${down ? "scroll" : "Scroll"} sideways for more columns`].filter(Boolean).join("; ") + ".";
  };
  new ResizeObserver(look).observe(box);
  return C.el("div", { class: "tabled" }, box, hint);
};

C.capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const MINUS = "−";
const NONE = "–";
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
C.known = known;

C.signed = (text) => text.replace(/^-/, MINUS);
C.percent = (share, digits = 1) => (known(share) ? C.signed(`${(100 * share).toFixed(digits)} %`) : NONE);
C.count = (value) => (known(value) ? value.toLocaleString("en-US") : NONE);
C.fixed = (value, digits = 3) => (known(value) ? C.signed(value.toFixed(digits)) : NONE);
/** What a trial has of the metric it was selected by, on 'val' or 'train' rows. */
C.scored = (trial, part = "val") => (trial[`${part}_score`] !== undefined ? trial[`${part}_score`] : trial[`${part}_accuracy`]);
/** A value of the panel's metric: a share as a percentage. */
C.value = (panel, value, digits = 1) => (panel.metric.share ? C.percent(value, digits) : C.fixed(value, digits + 2));
/** As `short_number` of the program: plain from 0.001 to 100 000, else as 1.2e-5, which a command line takes. */
C.short = (value, digits = 3) => {
  if (!known(value)) return NONE;
  const rounded = Number(value.toPrecision(digits));
  const size = Math.abs(rounded);
  const plain = size === 0 || (size >= 1e-3 && size < 1e5);
  return C.signed(plain ? String(rounded) : rounded.toExponential().replace("e+", "e"));
};
/** A relative gap as '0.07 %'. */
C.gap = (gap) => {
  if (!known(gap)) return NONE;
  const percent = 100 * gap;
  const shown = percent <= 0 ? "0" : percent < 0.001 ? tiny(percent) : String(Number(percent.toPrecision(2)));
  return `${C.signed(shown)} %`;
};
/** Two digits written out, as 0.000046. */
const tiny = (number) => number.toFixed(Math.min(100, 1 - Math.floor(Math.log10(number)))).replace(/0+$/, "");
C.duration = (seconds) => {
  if (!known(seconds)) return NONE;
  if (seconds < 1) return `${C.short(seconds, 2)} s`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};

C.status = {
  converged: "converged", budget_spent: "pass limit", stalled: "stalled",
  completed: "completed", dropped: "dropped", diverged: "diverged",
};

/** A list of terms: [[name, value], ...]; values are text or nodes. */
C.terms = (rows, name = "terms") =>
  C.el("dl", { class: name }, rows.filter(Boolean).map(([term, value]) => C.el("div", {}, C.el("dt", {}, term), C.el("dd", {}, value))));

const loading = new WeakMap();
const load = (sprite) => {
  if (!loading.has(sprite)) {
    loading.set(sprite, new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.onerror = () => reject(new Error("a picture in the page is damaged"));
      image.src = sprite.src;
    }));
  }
  return loading.get(sprite);
};

/** Picture `number` of a sprite, `size` CSS pixels wide; a pixel of it stays a square. */
C.tile = (sprite, number, label) => {
  const canvas = C.el("canvas", { class: "tile", width: sprite.w, height: sprite.h, role: "img", "aria-label": label });
  load(sprite).then((image) => {
    const left = (number % sprite.columns) * sprite.w;
    const top = Math.floor(number / sprite.columns) * sprite.h;
    canvas.getContext("2d").drawImage(image, left, top, sprite.w, sprite.h, 0, 0, sprite.w, sprite.h);
  });
  return canvas;
};

const mix = (stops, share) => {
  const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(place));
  return [0, 1, 2].map((i) => Math.round(stops[low][i] + (place - low) * (stops[low + 1][i] - stops[low][i])));
};
// viridis (M. Stefan van der Walt, Nathaniel Smith) and ColorBrewer's RdBu: both safe for colour-blind readers
const VIRIDIS = [[68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [40, 174, 128], [94, 201, 98], [173, 220, 48], [253, 231, 37]];
const RDBU = [[5, 48, 97], [33, 102, 172], [67, 147, 195], [146, 197, 222], [209, 229, 240], [247, 247, 247], [253, 219, 199], [244, 165, 130], [214, 96, 77], [178, 24, 43], [103, 0, 31]];
C.viridis = (share) => `rgb(${mix(VIRIDIS, share).join(" ")})`;
C.diverging = (value) => mix(RDBU, (value + 1) / 2);
C.colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
