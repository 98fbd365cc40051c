// Pictures in SVG, drawn to the pixels they have, and the table behind each.

const kSvg = "http://www.w3.org/2000/svg";

function draw(parent, tag, attributes, text) {
  const node = document.createElementNS(kSvg, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

// A row of cells into a table; the first is the row's header.
function addRow(body, cells) {
  const row = document.createElement("tr");
  cells.forEach((cell, i) => {
    const node = document.createElement(i === 0 ? "th" : "td");
    if (i === 0) node.scope = "row";
    node.textContent = cell;
    row.append(node);
  });
  body.append(row);
  return row;
}

function fillTable(table, titles, rows) {
  table.replaceChildren();
  const head = table.createTHead().insertRow();
  for (const title of titles) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = title;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of rows) addRow(body, row);
}

// The shape of a number over time, without axes.
function drawSpark(svg, values) {
  svg.replaceChildren();
  svg.setAttribute("viewBox", "0 0 100 22");
  svg.setAttribute("preserveAspectRatio", "none");
  const top = Math.max(...values.filter((v) => v !== undefined), 0) || 1;
  const last = values.slice(-60);
  const path = pathOf(last, (i) => ((i + 60 - last.length) * 100) / 59, (v) => 21 - (20 * v) / top);
  draw(svg, "path", { d: path });
}

// Lines through the values that are there; a gap where there is none.
function pathOf(values, x, y) {
  let path = "";
  let open = false;
  values.forEach((value, i) => {
    if (value !== undefined) path += (open ? "L" : "M") + x(i).toFixed(1) + " " + y(value).toFixed(1);
    open = value !== undefined;
  });
  return path;
}

// lines: [{name, kind, values}], one value each of `times`. marks: seconds at which
// something happened. log: for latencies, which span decades.
function drawLines(svg, { times, seconds, lines, marks, text, log }) {
  const width = svg.clientWidth || 560, height = 172, left = 58, right = 8, top = 8, bottom = 20;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const all = lines.flatMap((line) => line.values).filter((v) => v !== undefined && (!log || v > 0));
  const end = times[times.length - 1];
  const x = (time) => width - right - ((end - time) / seconds) * (width - left - right);
  let low = 0, high = roundUp(Math.max(...all, 0));
  if (log) {
    low = 10 ** Math.floor(Math.log10(Math.min(...all, 1e-3)));
    high = 10 ** Math.ceil(Math.log10(Math.max(...all, 1e-3)));
    if (high <= low) high = low * 10;
  }
  const part = log ? (v) => Math.log(Math.max(v, low) / low) / Math.log(high / low) : (v) => (v - low) / (high - low);
  const y = (v) => height - bottom - part(v) * (height - top - bottom);
  const ticks = log ? decades(low, high) : [0, high / 2, high];
  for (const tick of ticks) {
    draw(svg, "line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) });
    draw(svg, "text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, text(tick));
  }
  for (let ago = 0; ago <= seconds; ago += 60) {
    const label = ago === 0 ? "now" : `\u2212${ago / 60} min`;
    draw(svg, "text", { x: x(end - ago), y: height - 4, "text-anchor": ago === 0 ? "end" : "middle" }, label);
  }
  for (const mark of marks.filter((m) => m >= end - seconds)) {
    draw(svg, "line", { class: "mark", x1: x(mark), x2: x(mark), y1: top, y2: height - bottom });
  }
  for (const line of lines) {
    const shown = line.values.map((v) => (log && !(v > 0) ? undefined : v));
    draw(svg, "path", { class: "line " + line.kind, d: pathOf(shown, (i) => x(times[i]), y) });
  }
}

// The next 1, 2 or 5 with zeros behind it, so that the axis has round numbers.
function roundUp(number) {
  if (number <= 0) return 1;
  const decade = 10 ** Math.floor(Math.log10(number));
  return decade * [1, 2, 5, 10].find((step) => number <= step * decade * 1.0001);
}

function decades(low, high) {
  const all = [];
  for (let tick = low; tick <= high * 1.001; tick *= 10) all.push(tick);
  return all;
}

// bars: [{label, share}].
function drawBars(svg, bars) {
  const width = svg.clientWidth || 560, height = 172, bottom = 20, top = 16;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const step = width / bars.length;
  draw(svg, "line", { class: "grid", x1: 0, x2: width, y1: height - bottom, y2: height - bottom });
  bars.forEach(({ label, share }, i) => {
    const tall = share * (height - top - bottom);
    draw(svg, "rect", { x: i * step + 3, y: height - bottom - tall, width: Math.max(step - 6, 1), height: tall });
    if (step >= 44 || i % 2 === 0) draw(svg, "text", { x: (i + 0.5) * step, y: height - 4, "text-anchor": "middle" }, label);
    if (share > 0) {
      const text = share < 0.005 ? "<1%" : (100 * share).toFixed(0) + "%";
      draw(svg, "text", { class: "value", x: (i + 0.5) * step, y: height - bottom - tall - 4, "text-anchor": "middle" }, text);
    }
  });
}

// parts: [{kind, name, value}]; the picture's name says the same as the picture.
function drawStack(bar, title, parts, whole, text) {
  while (bar.children.length > parts.length) bar.lastChild.remove();
  parts.forEach(({ kind, value }, i) => {
    const piece = bar.children[i] || bar.appendChild(document.createElement("i"));
    piece.className = "fill-" + kind;
    piece.hidden = !(value > 0 && whole > 0);
    piece.style.width = `calc(${whole > 0 ? (100 * value) / whole : 0}% - 1px)`;
  });
  bar.setAttribute("aria-label", title + ": " + parts.map((p) => p.name + " " + text(p.value)).join(", "));
}
