
"use strict";

// Tables: clicks on a head sort up, down, and back to the order of the file. Cells say what they sort by;
// unknown values stay last either way.
function sortTable(head) {
  const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
  const numeric = head.classList.contains("number");
  const next = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
  const ascending = next === "ascending";
  for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", next);
  const rows = Array.from(body.rows, (row) => ({ row, text: row.cells[column].dataset.sort }));
  const compare = (a, b) => {
    if (!numeric) return a.text.localeCompare(b.text, undefined, { numeric: true });
    // Identifiers of 19 digits are whole numbers that a float cannot tell apart.
    if (/^\d{16,}$/.test(a.text) && /^\d{16,}$/.test(b.text)) {
      const x = BigInt(a.text), y = BigInt(b.text);
      return x < y ? -1 : x > y ? 1 : 0;
    }
    return Number(a.text) - Number(b.text);
  };
  rows.sort((a, b) => {
    if (next === "none") return places.get(a.row) - places.get(b.row);
    if (!a.text || !b.text) return (a.text ? 0 : 1) - (b.text ? 0 : 1);
    return ascending ? compare(a, b) : compare(b, a);
  });
  body.append(...rows.map((entry) => entry.row));
}
const places = new Map(Array.from(document.querySelectorAll("tbody tr"), (row, place) => [row, place]));
for (const head of document.querySelectorAll("thead th")) {
  head.querySelector("button").addEventListener("click", () => sortTable(head));
}

const signed = (value, digits) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);

// Round numbers that divide a range into about `count` parts.
function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n += 1) {
    found.push({ value: n * step, text: signed(Math.abs(n * step) < 1e-12 ? 0 : n * step, digits) });
  }
  return found;
}

function explorer(root) {
  const find = (name) => document.getElementById(root.dataset.key + "-" + name);
  const data = JSON.parse(find("data").textContent);
  const canvas = find("plane"), context = canvas.getContext("2d"), tip = find("tip");
  const choice = find("model"), input = find("find").elements.star;
  const margin = { left: 50, right: 10, top: 10, bottom: 42 };
  const order = data.true.map((_, i) => i).filter((i) => data.true[i] !== null).sort((a, b) => data.true[a] - data.true[b]);
  const hasCurve = data.source_id.map((id) => id in data.curves);
  let model = data.models[0], selected = -1, size = 0, low = -3, high = 0.5;

  const scale = (value) => (value - low) / (high - low) * (size - margin.left - margin.right);
  const left = (value) => margin.left + scale(value);
  const top = (value) => size - margin.bottom - scale(value) * (size - margin.top - margin.bottom) / (size - margin.left - margin.right);
  const shown = (i) => data.true[i] !== null && model.pred[i] !== null;

  function limits() {
    const values = order.filter(shown).flatMap((i) => [data.true[i], model.pred[i]]);
    if (!values.length) return;
    const least = values.reduce((a, b) => Math.min(a, b)), most = values.reduce((a, b) => Math.max(a, b));
    const room = 0.04 * (most - least) || 0.1;
    low = least - room;
    high = most + room;
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1, look = getComputedStyle(document.documentElement);
    const color = (name) => look.getPropertyValue("--" + name).trim();
    size = canvas.clientWidth;
    canvas.width = canvas.height = Math.round(size * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, size, size);
    context.font = "12px " + getComputedStyle(canvas).fontFamily;
    axes(color);
    context.fillStyle = context.strokeStyle = color("c1");
    context.lineWidth = 1;
    const alpha = order.length > 1500 ? 0.4 : order.length > 300 ? 0.55 : 0.75;
    for (const i of order) {
      if (!shown(i)) continue;
      context.globalAlpha = alpha;
      context.beginPath();
      context.arc(left(data.true[i]), top(model.pred[i]), size < 420 ? 2.4 : 2.8, 0, 7);
      if (hasCurve[i]) context.fill();
      else context.stroke();
    }
    context.globalAlpha = 1;
    if (selected >= 0 && shown(selected)) mark(color);
  }

  function axes(color) {
    const bottom = size - margin.bottom, right = size - margin.right;
    context.lineWidth = 1;
    for (const tick of ticks(low, high, size < 420 ? 6 : 9)) {
      context.strokeStyle = color("rule");
      context.globalAlpha = 0.6;
      context.beginPath();
      context.moveTo(left(tick.value), margin.top); context.lineTo(left(tick.value), bottom);
      context.moveTo(margin.left, top(tick.value)); context.lineTo(right, top(tick.value));
      context.stroke();
      context.globalAlpha = 1;
      context.fillStyle = color("ink");
      context.textAlign = "center"; context.textBaseline = "top";
      context.fillText(tick.text, left(tick.value), bottom + 5);
      context.textAlign = "right"; context.textBaseline = "middle";
      context.fillText(tick.text, margin.left - 6, top(tick.value));
    }
    context.strokeStyle = color("ink");
    context.setLineDash([5, 4]);
    context.beginPath();
    context.moveTo(left(low), top(low)); context.lineTo(left(high), top(high));
    context.stroke();
    context.setLineDash([]);
    context.textAlign = "center"; context.textBaseline = "bottom";
    context.fillText("true [Fe/H] (dex)", (margin.left + right) / 2, size - 3);
    context.save();
    context.translate(3, (margin.top + bottom) / 2);
    context.rotate(-Math.PI / 2);
    context.textBaseline = "top";
    context.fillText("predicted [Fe/H] (dex)", 0, 0);
    context.restore();
  }

  function mark(color) {
    const x = left(data.true[selected]), y = top(model.pred[selected]);
    const error = model.error && model.error[selected];
    context.strokeStyle = context.fillStyle = color("c2");
    context.lineWidth = 2;
    if (error) {
      context.beginPath();
      context.moveTo(x, top(model.pred[selected] - error)); context.lineTo(x, top(model.pred[selected] + error));
      context.stroke();
    }
    context.beginPath();
    context.arc(x, y, 4, 0, 7);
    context.fill();
    context.beginPath();
    context.arc(x, y, 8, 0, 7);
    context.stroke();
  }

  function nearest(event, reach) {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = -1, least = reach * reach;
    for (const i of order) {
      if (!shown(i)) continue;
      const distance = (left(data.true[i]) - x) ** 2 + (top(model.pred[i]) - y) ** 2;
      if (distance < least) { least = distance; best = i; }
    }
    return best;
  }

  function hover(event) {
    const i = event.pointerType === "touch" ? -1 : nearest(event, 14);
    tip.hidden = i < 0;
    if (i < 0) return;
    tip.textContent = data.source_id[i] + " · " + signed(data.true[i], 2) + " → " + signed(model.pred[i], 2);
    const x = left(data.true[i]), y = top(model.pred[i]);
    tip.style.left = Math.max(0, Math.min(x + 12, size - tip.offsetWidth)) + "px";
    tip.style.top = Math.max(0, y - tip.offsetHeight - 10) + "px";
  }

  function select(i, remember = true) {
    selected = i;
    draw();
    card(i);
    // replaceState is refused in some sandboxes; the address is a convenience only.
    if (remember) try { history.replaceState(null, "", "#star=" + data.source_id[i]); } catch (refused) { return; }
  }

  function card(i) {
    const id = data.source_id[i], curve = data.curves[id], facts = [];
    const value = (list) => (list ? list[i] : null);
    find("card").dataset.star = id;
    find("card-title").textContent = id;
    if (value(data.period) !== null) facts.push(["period (d)", data.period[i].toFixed(6)]);
    if (value(data.type) !== null) facts.push(["type", data.type[i]]);
    if (value(data.n_epochs) !== null) facts.push(["epochs", String(data.n_epochs[i])]);
    if (data.true[i] !== null) facts.push(["[Fe/H] true", signed(data.true[i], 3)]);
    if (model.pred[i] !== null) {
      const error = model.error ? model.error[i] : null;
      facts.push(["[Fe/H] predicted", signed(model.pred[i], 3) + (error === null ? "" : " ± " + error.toFixed(3))]);
      if (data.true[i] !== null) facts.push(["difference", signed(model.pred[i] - data.true[i], 3)]);
    }
    find("card-facts").replaceChildren(...facts.map(([name, text]) => {
      const pair = document.createElement("div"), term = document.createElement("dt"), detail = document.createElement("dd");
      term.textContent = name;
      detail.textContent = text;
      pair.append(term, detail);
      return pair;
    }));
    lightCurve(find("curve"), curve);
    find("card-note").textContent = curve
      ? curve.phase.length + " observations, drawn over two cycles" + (curve.curve_phase ? "; line: their smooth curve." : ".")
      : "The light curve of this star is not in this file.";
  }

  function step(by) {
    const visible = order.filter(shown);
    if (!visible.length) return;
    const place = visible.indexOf(selected);
    select(visible[place < 0 ? 0 : (place + by + visible.length) % visible.length]);
  }

  function choose(id, remember = true) {
    const i = data.source_id.indexOf(id);
    if (i >= 0) select(i, remember);
    return i >= 0;
  }

  function fromAddress() {
    const found = /^#star=(-?\d+)$/.exec(location.hash);
    if (found) choose(found[1], false);
  }

  data.models.forEach((entry, number) => choice.add(new Option(entry.name + " · " + entry.representation, number)));
  find("choice").hidden = data.models.length < 2;
  choice.addEventListener("change", () => {
    model = data.models[Number(choice.value)];
    limits();
    draw();
    if (selected >= 0) card(selected);
  });
  canvas.addEventListener("pointermove", hover);
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("click", (event) => {
    const i = nearest(event, 24);
    if (i >= 0) select(i);
  });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });
  find("find").addEventListener("submit", (event) => {
    event.preventDefault();
    input.setCustomValidity(choose(input.value.trim()) ? "" : "This star is not among those shown.");
    input.reportValidity();
  });
  input.addEventListener("input", () => input.setCustomValidity(""));
  for (const button of root.closest("section").querySelectorAll("button.star")) {
    button.addEventListener("click", () => {
      if (choose(button.dataset.star)) root.scrollIntoView({ block: "start" });
    });
  }
  window.addEventListener("hashchange", fromAddress);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(() => { if (canvas.clientWidth !== size) draw(); }).observe(canvas);

  limits();
  draw();
  const start = order.filter((i) => shown(i) && hasCurve[i]);
  if (start.length) select(start[Math.floor(start.length / 2)], false);
  fromAddress();
  // Where a star is drawn, in pixels of the window: for scripts and tests.
  return { select: choose, locate: (id) => {
    const i = data.source_id.indexOf(id), box = canvas.getBoundingClientRect();
    return { x: box.left + left(data.true[i]), y: box.top + top(model.pred[i]) };
  } };
}

// Two cycles of a folded curve, bright at the top.
function lightCurve(svg, curve) {
  svg.replaceChildren();
  svg.style.display = curve ? "" : "none";
  if (!curve) return;
  // One unit of the drawing is about one pixel, so that its text is as large on a phone as on a desk.
  const width = Math.min(560, Math.max(280, svg.clientWidth)), height = Math.round(0.66 * width);
  const margin = { left: 52, right: 8, top: 8, bottom: 40 };
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const add = (name, attributes, text) => {
    const element = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    svg.append(element);
  };
  const all = curve.mag.concat(curve.curve_mag || []).filter((value) => value !== null);
  const bright = Math.min(...all), faint = Math.max(...all), room = 0.06 * (faint - bright) || 0.05;
  const x = (phase) => margin.left + phase / 2 * (width - margin.left - margin.right);
  const y = (mag) => margin.top + (mag - bright + room) / (faint - bright + 2 * room) * (height - margin.top - margin.bottom);
  const floor = height - margin.bottom;
  add("path", { class: "axis", d: `M${margin.left} ${margin.top}V${floor}H${width - margin.right}` });
  for (const phase of [0, 0.5, 1, 1.5, 2]) {
    add("path", { class: "axis", d: `M${x(phase)} ${floor}v4` });
    add("text", { x: x(phase), y: floor + 17, "text-anchor": phase === 2 ? "end" : "middle" }, String(phase));
  }
  for (const tick of ticks(bright - room, faint + room, 5)) {
    add("path", { class: "axis", d: `M${margin.left} ${y(tick.value)}h-4` });
    add("text", { x: margin.left - 7, y: y(tick.value) + 4, "text-anchor": "end" }, tick.text);
  }
  add("text", { x: (margin.left + width) / 2, y: height - 5, "text-anchor": "middle" }, "phase");
  add("text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(11 ${floor / 2}) rotate(-90)` }, "G (mag)");
  for (const cycle of [0, 1]) {
    curve.phase.forEach((phase, i) => {
      if (phase === null || curve.mag[i] === null) return;
      const error = curve.mag_error ? curve.mag_error[i] : null, place = x(phase + cycle);
      if (error) add("path", { class: "bar", d: `M${place} ${y(curve.mag[i] - error)}V${y(curve.mag[i] + error)}` });
      add("circle", { class: "point", cx: place, cy: y(curve.mag[i]), r: 2.6 });
    });
  }
  if (curve.curve_phase) add("path", { class: "smooth", d: smoothPath(curve, x, y) });
}

// The line is interrupted between the cycles where the smooth curve does not reach from one to the next.
function smoothPath(curve, x, y) {
  const phase = curve.curve_phase, mag = curve.curve_mag, last = phase.length - 1;
  const points = [];
  if (curve.closed) points.push([0, mag[0] + (mag[last] - mag[0]) * phase[0] / (phase[0] + 1 - phase[last])]);
  for (const cycle of [0, 1]) {
    if (cycle && !curve.closed) points.push(null);
    phase.forEach((value, i) => points.push([value + cycle, mag[i]]));
  }
  if (curve.closed) points.push([2, points[0][1]]);
  let pen = "M";
  return points.map((point) => {
    if (!point) { pen = "M"; return ""; }
    const part = `${pen}${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`;
    pen = "L";
    return part;
  }).join("");
}

// A page of one data set has one; a comparison of several, one each.
window.photfeh = Object.fromEntries(Array.from(document.querySelectorAll(".explorer"), (root) => [root.dataset.key, explorer(root)]));
