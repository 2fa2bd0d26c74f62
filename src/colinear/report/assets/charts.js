"use strict";
// Charts: uPlot gives scales, axes and a crisp canvas; marks, hover and click are ours, one way for all charts.

{
  const all = new Set();
  const REACH = 28; // CSS pixels within which a point is found: a finger's width

  /** Tick places in [low, high]; for a scale that shows log10 values, decades or a few numbers between them. */
  const ticks = C.ticks = (low, high, log, room) => {
    const span = high - low;
    if (log && span >= 2.5) {
      const step = Math.max(1, Math.ceil(span / room));
      const first = Math.ceil(low - 1e-9);
      return Array.from({ length: Math.floor((high + 1e-9 - first) / step) + 1 }, (_, i) => first + i * step);
    }
    if (log) {
      const places = [];
      for (let decade = Math.floor(low); decade <= high; decade++)
        for (const lead of span < 1.5 ? [1, 2, 5] : [1, 3]) places.push(decade + Math.log10(lead));
      return places.filter((place) => place >= low && place <= high);
    }
    const raw = span / room;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = unit * [1, 2, 5, 10].find((lead) => lead * unit >= raw * 0.999);
    const first = Math.ceil(low / step - 1e-9);
    return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
  };

  const tickText = (scale) => (u, places) =>
    places.map((place) => {
      if (scale.format) return scale.format(place);
      if (!scale.log) return C.short(Number(place.toPrecision(6)));
      return C.short(10 ** place, 1);
    });

  /** [low, high] of the values with a margin; never empty. */
  C.range = (values, margin = 0.06, least = 1e-9) => {
    const finite = values.filter(Number.isFinite);
    if (!finite.length) return [0, 1];
    const low = Math.min(...finite);
    const high = Math.max(...finite);
    const pad = Math.max((high - low) * margin, high - low < least ? Math.max(least, Math.abs(high) * 0.1, 0.1) : 0);
    return [low - pad, high + pad];
  };

  const axis = (scale, vertical, colours, room) => ({
    stroke: colours.faint,
    font: `12px ${colours.font}`,
    labelFont: `12px ${colours.font}`,
    label: scale.label,
    labelSize: 18,
    labelGap: vertical ? 2 : 0,
    size: vertical ? scale.size || 46 : 30,
    gap: vertical ? 5 : 9, // its first label stands beside the lowest of the other axis
    grid: { stroke: colours.rule, width: 1 },
    ticks: { show: false },
    border: { show: false },
    splits: () => ticks(scale.range[0], scale.range[1], scale.log, room),
    values: tickText(scale),
  });

  /**
   * A chart in a box of its own.
   * x, y: {range, label, log, format}; on a log scale all values are log10 already.
   * points: [{x, y, ...}] that hover and click find; draw(pen): the marks; tip(point): lines of text; pick(point).
   */
  C.chart = ({ x, y, points = [], draw, tip, pick, label, height = 280 }) => {
    const plot = C.el("div", { class: "plot" });
    const bubble = C.el("div", { class: "tip", hidden: true, role: "status" });
    const ring = C.el("div", { class: "ring", hidden: true });
    const box = C.el("div", { class: "chart", role: "img", "aria-label": label }, plot, bubble);
    const chart = { box, u: null, width: 0, near: null };

    chart.build = () => {
      const width = Math.floor(plot.clientWidth);
      if (!width) return;
      const colours = Object.fromEntries(["ink", "faint", "rule", "paper", "accent", "second", "third"].map((name) => [name, C.colour(name)]));
      colours.font = getComputedStyle(document.body).fontFamily;
      chart.width = width;
      if (chart.u) chart.u.destroy();
      chart.u = new uPlot(
        {
          width,
          height,
          padding: [10, 22, 0, 4],
          cursor: { show: false },
          legend: { show: false },
          scales: { x: { time: false, range: () => x.range }, y: { range: () => y.range } },
          axes: [axis(x, false, colours, Math.max(3, width / 80)), axis(y, true, colours, height / 36)],
          series: [{}, { paths: () => null, points: { show: false } }],
          hooks: { draw: [(u) => paint(u, colours)] },
        },
        [x.range, y.range],
        plot,
      );
      chart.u.over.append(ring);
      chart.u.over.classList.toggle("pickable", Boolean(pick));
      for (const [event, handler] of [["pointermove", hover], ["pointerdown", hover], ["pointerleave", leave], ["click", click]])
        chart.u.over.addEventListener(event, handler);
    };

    const paint = (u, colours) => {
      const { ctx, bbox } = u;
      const scale = devicePixelRatio || 1;
      const at = (px, py) => [u.valToPos(px, "x", true), u.valToPos(py, "y", true)];
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left - 8 * scale, bbox.top - 8 * scale, bbox.width + 16 * scale, bbox.height + 16 * scale);
      ctx.clip();
      draw({
        colours,
        dot: (px, py, radius, fill, stroke, width = 1) => {
          ctx.beginPath();
          ctx.arc(...at(px, py), radius * scale, 0, 2 * Math.PI);
          if (fill) { ctx.fillStyle = fill; ctx.fill(); }
          if (stroke) { ctx.strokeStyle = stroke; ctx.lineWidth = width * scale; ctx.stroke(); }
        },
        cross: (px, py, radius, stroke) => {
          const [cx, cy] = at(px, py);
          const r = radius * scale;
          ctx.beginPath();
          ctx.moveTo(cx - r, cy - r); ctx.lineTo(cx + r, cy + r); ctx.moveTo(cx - r, cy + r); ctx.lineTo(cx + r, cy - r);
          ctx.strokeStyle = stroke; ctx.lineWidth = 1.5 * scale; ctx.stroke();
        },
        line: (places, stroke, width = 1.75, dash = []) => {
          ctx.beginPath();
          let pen = false;
          for (const [px, py] of places) {
            if (!C.known(px) || !C.known(py)) { pen = false; continue; }
            ctx[pen ? "lineTo" : "moveTo"](...at(px, py));
            pen = true;
          }
          ctx.setLineDash(dash.map((part) => part * scale));
          ctx.lineJoin = "round"; ctx.strokeStyle = stroke; ctx.lineWidth = width * scale; ctx.stroke();
          ctx.setLineDash([]);
        },
        fade: (share) => { ctx.globalAlpha = share; },
        /** From 0 up to `py`, `width` in numbers of the x axis. */
        bar: (px, py, width, fill) => {
          const [[left, top], [right, bottom]] = [at(px - width / 2, py), at(px + width / 2, 0)];
          ctx.fillStyle = fill; ctx.fillRect(left, top, right - left, bottom - top);
        },
        text: (px, py, words, fill, dx = 8, dy = 4) => {
          const [cx, cy] = at(px, py);
          ctx.font = `600 ${12 * scale}px ${colours.font}`; ctx.fillStyle = fill; ctx.textAlign = dx < 0 ? "right" : "left";
          ctx.fillText(words, cx + dx * scale, cy + dy * scale);
        },
      });
      ctx.restore();
    };

    const place = (point) => [chart.u.valToPos(point.x, "x"), chart.u.valToPos(point.y, "y")];
    const hover = (event) => {
      const left = event.clientX - chart.u.over.getBoundingClientRect().left;
      const top = event.clientY - chart.u.over.getBoundingClientRect().top;
      let best = REACH;
      chart.near = null;
      for (const point of points) {
        const [px, py] = place(point);
        const distance = Math.hypot(px - left, py - top);
        if (distance < best) [best, chart.near] = [distance, point];
      }
      if (!chart.near) return leave();
      const [px, py] = place(chart.near);
      ring.hidden = bubble.hidden = false;
      ring.style.transform = `translate(${px - 9}px, ${py - 9}px)`;
      bubble.replaceChildren(...tip(chart.near).map((line, i) => C.el(i ? "span" : "strong", {}, line)));
      const over = chart.u.over;
      const atX = over.offsetLeft + px;
      const side = atX + 16 + bubble.offsetWidth > box.clientWidth ? -bubble.offsetWidth - 14 : 14;
      const x0 = Math.max(0, Math.min(atX + side, box.clientWidth - bubble.offsetWidth));
      bubble.style.transform = `translate(${x0}px, ${Math.max(0, over.offsetTop + py - bubble.offsetHeight / 2)}px)`;
    };
    const leave = () => { ring.hidden = bubble.hidden = true; chart.near = null; };
    const click = (event) => { hover(event); if (chart.near && pick) pick(chart.near); };

    chart.redraw = () => chart.u && chart.u.redraw(false);
    all.add(chart);
    box.chart = chart;
    return box;
  };

  /** Build what became visible or changed its width; `anew`: all charts, in the colours of now. */
  C.fitCharts = (anew = false) => {
    for (const chart of all) {
      if (!chart.box.isConnected) { if (chart.u) { chart.u.destroy(); all.delete(chart); } continue; }
      const width = Math.floor(chart.box.firstChild.clientWidth);
      if (width && (anew || width !== chart.width)) chart.build();
    }
  };
}
