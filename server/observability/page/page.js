// The page: asks /metrics and /status.json once a second and shows what they say.
// Each number that is shown has its exact value in data-value, and the series it
// is from in data-from.

const kPollMs = 1000;
const kAnswerMs = 4000;  // A daemon that takes longer counts as lost.
const kWindow = 10;      // Seconds that rates and percentiles look back.
const kHistory = 300;    // Seconds that the charts show.
const kStages = ["decode", "queue", "batch", "compute", "encode"];

const byId = (id) => document.getElementById(id);

const state = {
  scrapes: [],            // Of the last kWindow seconds, and the one before.
  history: new Map(),     // Model, "" for all -> [{at, rate, ...}].
  marks: [],              // When a name moved or a worker began, in seconds.
  model: "",
  paused: false,
  lostSince: 0,
  last: null,             // The last status.
};

function put(node, text, value, from) {
  if (node.textContent !== text) node.textContent = text;
  if (value === undefined) delete node.dataset.value;
  else node.dataset.value = value;
  if (from) node.dataset.from = from;
}

function say(text, at) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = clockText(at);
  item.append(time, text);
  byId("events").prepend(item);
  while (byId("events").children.length > 200) byId("events").lastChild.remove();
}

// ---- What happened between two readings of the status. ----

function tellChanges(before, now) {
  if (!before) return;
  if (before.started !== now.started) {
    state.marks.push(now.now);
    say("a new worker serves", now.now);
  }
  const old = new Map(before.models.map((model) => [model.model, model]));
  for (const model of now.models) {
    const was = old.get(model.model) || { names: [], versions: [] };
    for (const { name, version } of model.names) {
      const from = (was.names.find((n) => n.name === name) || { version: 0 }).version;
      if (from === version) continue;
      state.marks.push(now.now);
      const back = from > version && version !== 0 ? " (back)" : "";
      say(`${model.model}: ${name} ${from === 0 ? "is" : `moved from ${from} to`} ${version}${back}`, now.now);
    }
    for (const version of model.versions) {
      const past = was.versions.find((v) => v.version === version.version);
      if (past && past.state === version.state && past.generation === version.generation) continue;
      const why = version.state === "failed" ? `: ${version.reason}` : "";
      say(`${model.model} version ${version.version}: ${version.state}${why}`, now.now);
    }
    for (const version of was.versions) {
      if (model.versions.some((v) => v.version === version.version)) continue;
      say(`${model.model} version ${version.version}: gone`, now.now);
    }
  }
  for (const name of old.keys()) {
    if (!now.models.some((model) => model.model === name)) say(`${name}: gone`, now.now);
  }
}

// ---- One point of the charts. ----

function pointBetween(newer, older, model) {
  const where = { model };
  const whole = histogramBetween(newer, older, "paramd_request_seconds", where);
  const rows = histogramBetween(newer, older, "paramd_batch_rows", where);
  const all = growth(newer, older, "paramd_requests_total", where);
  const good = growth(newer, older, "paramd_requests_total", { model, code: "OK" });
  const budget = newer.sum("paramd_cpu_budget_cores");
  const streams = newer.sum("paramd_executor_streams");
  return {
    at: newer.at,
    rate: all / (newer.at - older.at),
    errors: all === 0 ? 0 : (100 * (all - good)) / all,
    p50: quantile(whole, 0.5),
    p95: quantile(whole, 0.95),
    p99: quantile(whole, 0.99),
    batchRows: mean(rows),
    waiting: newer.sum("paramd_queue_requests", where) || 0,
    busy: streams ? (100 * perSecond(newer, older, "paramd_executor_busy_seconds_total")) / streams : undefined,
    cpu: budget ? (100 * perSecond(newer, older, "process_cpu_seconds_total")) / budget : undefined,
  };
}

function remember(scrape) {
  const before = state.scrapes[state.scrapes.length - 1];
  state.scrapes.push(scrape);
  while (state.scrapes.length > 2 && state.scrapes[1].at <= scrape.at - kWindow) state.scrapes.shift();
  if (!before) return;
  const models = new Set(scrape.matching("paramd_requests_total").map((one) => one.labels.model));
  for (const name of state.history.keys()) {
    if (name !== "" && !models.has(name)) state.history.delete(name);
  }
  for (const model of ["", ...models]) {
    if (!state.history.has(model)) state.history.set(model, []);
    const points = state.history.get(model);
    points.push(pointBetween(scrape, before, model));
    while (points.length > 0 && points[0].at < scrape.at - kHistory) points.shift();
  }
}

// ---- The parts of the page. ----

function showFigures(newer, older) {
  const point = pointBetween(newer, older, state.model);
  put(byId("rate"), rateText(point.rate), point.rate, "paramd_requests_total");
  put(byId("errors"), point.errors.toFixed(1), point.errors, "paramd_requests_total");
  put(byId("p50"), secondsText(point.p50), point.p50, "paramd_request_seconds");
  put(byId("p99"), secondsText(point.p99), point.p99, "paramd_request_seconds");
  put(byId("batch-rows"), rateText(point.batchRows), point.batchRows, "paramd_batch_rows");
  put(byId("waiting"), countText(point.waiting), point.waiting, "paramd_queue_requests");
  put(byId("busy"), point.busy === undefined ? kNone : point.busy.toFixed(0), point.busy, "paramd_executor_busy_seconds_total");
  put(byId("cpu"), point.cpu === undefined ? kNone : point.cpu.toFixed(0), point.cpu, "process_cpu_seconds_total");
  const budget = newer.sum("paramd_cpu_budget_cores");
  put(byId("cpu-of"), budget === undefined ? "" : `of ${rateText(budget).replace(/\.?0+$/, "")} cores`, budget, "paramd_cpu_budget_cores");
  const points = state.history.get(state.model) || [];
  const sparks = { rate: "rate", errors: "errors", p50: "p50", p99: "p99", batch: "batchRows", waiting: "waiting", busy: "busy", cpu: "cpu" };
  for (const [id, key] of Object.entries(sparks)) drawSpark(byId(id + "-spark"), points.map((p) => p[key]));
  put(byId("window"), `last ${Math.round(newer.at - older.at)} s`);
}

function showStages(newer, older) {
  const where = { model: state.model };
  const name = "paramd_request_stage_seconds";
  const stages = kStages.map((stage) => ({ stage, histogram: histogramBetween(newer, older, name, { ...where, stage }) }));
  const sum = stages.reduce((total, one) => total + one.histogram.sum, 0);
  const parts = stages.map(({ stage, histogram }) => ({ kind: stage, name: stage, value: histogram.sum }));
  drawStack(byId("stages-bar"), "Share of a request's time", parts, sum, (v) => shareText(sum > 0 ? v / sum : undefined));
  const rows = stages.map(({ stage, histogram }) => ({ title: stage, kind: stage, histogram, share: sum > 0 ? histogram.sum / sum : undefined }));
  rows.push({ title: "whole", histogram: histogramBetween(newer, older, "paramd_request_seconds", where), share: sum > 0 ? 1 : undefined });
  const body = byId("stages").tBodies[0];
  while (body.rows.length < rows.length) addRow(body, ["", "", "", "", "", ""]);
  rows.forEach(({ title, kind, histogram, share }, i) => {
    const cells = body.rows[i].cells;
    if (cells[0].textContent !== title) {
      cells[0].textContent = title;
      if (kind) cells[0].prepend(swatch(kind));
      else body.rows[i].className = "whole";
    }
    put(cells[1], shareText(share), share);
    put(cells[2], secondsText(mean(histogram)), mean(histogram), kind ? name : "paramd_request_seconds");
    [0.5, 0.95, 0.99].forEach((q, k) => put(cells[3 + k], secondsText(quantile(histogram, q)), quantile(histogram, q)));
  });
}

function swatch(kind) {
  const node = document.createElement("i");
  node.className = "swatch fill-" + kind;
  return node;
}

// Every fifth second is enough for a table.
function tableOf(points, cells) {
  return points.filter((_, i) => (points.length - 1 - i) % 5 === 0).reverse().slice(0, 60).map(cells);
}

function showCharts() {
  const points = state.history.get(state.model) || [];
  if (points.length === 0) return;
  const times = points.map((p) => p.at);
  const common = { times, seconds: kHistory, marks: state.marks };
  const line = (name, kind) => ({ name, kind, values: points.map((p) => p[name]) });
  drawLines(byId("latency-chart"), { ...common, log: true, text: secondsText,
    lines: [line("p50", "first"), line("p95", "second"), line("p99", "third")] });
  drawLines(byId("rate-chart"), { ...common, log: false, text: rateText, lines: [line("rate", "second")] });
  const now = points[points.length - 1];
  const worst = Math.max(...points.map((p) => p.p99 || 0));
  byId("latency-chart").setAttribute("aria-label",
    `Latency over five minutes. Now p50 ${secondsText(now.p50)}, p99 ${secondsText(now.p99)}; the highest p99 was ${worst > 0 ? secondsText(worst) : kNone}.`);
  byId("rate-chart").setAttribute("aria-label",
    `Requests a second over five minutes: now ${rateText(now.rate)}, at most ${rateText(Math.max(...points.map((p) => p.rate)))}.`);
  if (byId("latency-table").closest("details").open) {
    fillTable(byId("latency-table"), ["Time", "p50", "p95", "p99"],
      tableOf(points, (p) => [clockText(p.at), secondsText(p.p50), secondsText(p.p95), secondsText(p.p99)]));
  }
  if (byId("rate-table").closest("details").open) {
    fillTable(byId("rate-table"), ["Time", "Requests/s", "Errors"],
      tableOf(points, (p) => [clockText(p.at), rateText(p.rate), p.errors.toFixed(1) + "\u00a0%"]));
  }
}

function showBatches(newer, older) {
  const histogram = histogramBetween(newer, older, "paramd_batch_rows", { model: state.model });
  const label = (i) => (histogram.bounds[i] === Infinity ? `>${histogram.bounds[i - 1]}`
    : i === 0 || histogram.bounds[i] === histogram.bounds[i - 1] + 1 ? String(histogram.bounds[i])
    : `\u2264${histogram.bounds[i]}`);
  const bars = histogram.counts.map((count, i) => ({ label: label(i), count, share: histogram.count > 0 ? count / histogram.count : 0 }));
  drawBars(byId("batches-chart"), bars);
  const common = bars.reduce((best, bar) => (bar.share > (best ? best.share : 0) ? bar : best), null);
  byId("batches-chart").setAttribute("aria-label", common
    ? `Batch sizes: ${countText(histogram.count)} batches, ${rateText(mean(histogram))} rows on average; ${shareText(common.share)} of them had ${common.label} rows.`
    : "Batch sizes: no batch ran.");
  if (byId("batches-table").closest("details").open) {
    fillTable(byId("batches-table"), ["Rows", "Batches", "Share"],
      bars.map((bar) => [bar.label, countText(bar.count), shareText(bar.share)]));
  }
}

// What the system says the process takes, and what of it paramd knows the use of.
function memoryParts(scrape) {
  const process = (kind) => scrape.sum("paramd_process_memory_bytes", { kind }) || 0;
  const unique = scrape.sum("paramd_parameter_bytes", { kind: "unique" }) || 0;
  const packed = scrape.sum("paramd_parameter_packed_bytes", { kind: "unique" }) || 0;
  const sealed = scrape.sum("paramd_store_sealed_bytes") || 0;
  const shared = scrape.sum("paramd_store_shared_bytes") || 0;
  const arena = scrape.sum("paramd_executor_arena_bytes") || 0;
  const queued = scrape.sum("paramd_queue_bytes") || 0;
  const whole = process("anon") + process("file") + Math.max(process("memfd"), sealed);
  const parts = [
    { kind: "unique", name: "parameters of one version, as in the file", value: unique - packed },
    { kind: "packed", name: "parameters of one version, packed for kernels", value: packed },
    { kind: "shared", name: "parameters that versions share, once", value: shared },
    { kind: "loading", name: "parameters being loaded or kept", value: Math.max(0, sealed - unique - shared) },
    { kind: "arena", name: "activations (arenas)", value: arena },
    { kind: "queued", name: "inputs in queues", value: queued },
    { kind: "code", name: "programs and libraries", value: process("file") },
  ];
  const known = parts.reduce((sum, part) => sum + part.value, 0);
  parts.splice(6, 0, { kind: "heap", name: "the rest: heap, stacks, gRPC", value: Math.max(0, whole - known) });
  return { parts, whole };
}

function showMemory(scrape) {
  const { parts, whole } = memoryParts(scrape);
  drawStack(byId("memory-bar"), "Memory", parts, whole, bytesText);
  const body = byId("memory").tBodies[0];
  while (body.rows.length < parts.length) addRow(body, ["", "", ""]);
  parts.forEach(({ kind, name, value }, i) => {
    const cells = body.rows[i].cells;
    if (cells[0].textContent !== name) {
      cells[0].textContent = name;
      cells[0].prepend(swatch(kind));
    }
    put(cells[1], bytesText(value), value);
    put(cells[2], shareText(value / whole), value / whole);
  });
  if (byId("memory").tFoot.rows.length === 0) addRow(byId("memory").tFoot, ["the process", "", ""]);
  const foot = byId("memory").tFoot.rows[0].cells;
  put(foot[1], bytesText(whole), whole);
  put(foot[2], shareText(1), 1);
  put(byId("memory-sum"), `${bytesText(whole)}, of which ${bytesText(scrape.sum("paramd_store_sealed_bytes"))} are sealed parameters`);
  const sealed = scrape.sum("paramd_store_sealed_bytes") || 0;
  const reserved = scrape.sum("paramd_store_reserved_bytes") || 0;
  const capacity = scrape.sum("paramd_store_capacity_bytes") || 0;
  const saved = scrape.sum("paramd_store_deduplicated_bytes_total") || 0;
  put(byId("store-text"), `Parameters fill ${shareText(capacity > 0 ? (sealed + reserved) / capacity : undefined)} of the ${bytesText(capacity)} that they may have` +
    (reserved > 0 ? `; ${bytesText(reserved)} are set aside for loads` : "") +
    (saved > 0 ? `; ${bytesText(saved)} were not stored twice` : "") + ".", sealed, "paramd_store_sealed_bytes");
  drawStack(byId("store-bar"), "Capacity for parameters", [
    { kind: "unique", name: "sealed", value: sealed }, { kind: "loading", name: "set aside", value: reserved }], capacity, bytesText);
}

const kColumns = ["Model", "Version", "State", "Names", "Requests/s", "p99", "Waiting", "Weights", "Biases", "Unique", "Shared", "Generation"];

function showModels(status, newer, older) {
  const body = byId("models").tBodies[0];
  const rows = [];
  for (const model of status.models) {
    if (state.model !== "" && state.model !== model.model) continue;
    if (model.versions.length === 0) rows.push({ model, version: null });
    for (const version of model.versions) rows.push({ model, version });
  }
  while (body.rows.length > rows.length) body.deleteRow(-1);
  while (body.rows.length < rows.length) {
    const row = addRow(body, kColumns.map(() => ""));
    [...row.cells].forEach((cell, i) => (cell.dataset.label = i === 0 ? "" : kColumns[i]));
  }
  rows.forEach(({ model, version }, i) => {
    const cells = body.rows[i].cells;
    put(cells[0], model.model);
    if (!version) {
      showState(cells[2], "failed", model.error || "no version", null);
      return;
    }
    const where = { model: model.model, version: String(version.version) };
    put(cells[1], String(version.version));
    showState(cells[2], version.state, version.reason, version);
    showNames(cells[3], model, version.version);
    const loaded = newer.matching("paramd_requests_total", where).length > 0;
    const rate = loaded ? perSecond(newer, older, "paramd_requests_total", where) : undefined;
    const p99 = loaded ? quantile(histogramBetween(newer, older, "paramd_request_seconds", where), 0.99) : undefined;
    put(cells[4], rateText(rate), rate, "paramd_requests_total");
    put(cells[5], secondsText(p99), p99, "paramd_request_seconds");
    put(cells[6], countText(newer.sum("paramd_queue_requests", where)), newer.sum("paramd_queue_requests", where), "paramd_queue_requests");
    put(cells[7], countText(version.weights), version.weights);
    put(cells[8], countText(version.biases), version.biases);
    for (const [k, kind] of [[9, "unique"], [10, "shared"]]) {
      const bytes = newer.sum("paramd_parameter_bytes", { ...where, kind });
      put(cells[k], bytesText(bytes), bytes, "paramd_parameter_bytes");
    }
    put(cells[11], version.generation || kNone);
    cells[11].title = version.weights_id ? "weights " + version.weights_id : "";
  });
  const serving = rows.filter((row) => row.version && row.version.state === "serving").length;
  put(byId("models-sum"), `${serving} of ${rows.length} versions serve`);
  showChoices(status);
}

function showState(cell, name, reason, version) {
  cell.className = "wide";
  const text = `${name}|${reason}|${version ? [version.stage, version.bytes_done, version.bytes_total].join() : ""}`;
  if (cell.dataset.shown === text) return;
  cell.dataset.shown = text;
  const label = document.createElement("span");
  label.className = "state " + name;
  label.textContent = name;
  cell.replaceChildren(label);
  if (version && version.stage !== undefined) {
    label.textContent = version.stage && version.stage !== name ? `${name}: ${version.stage} ` : name + " ";
    if (version.bytes_total > 0) {
      const bar = document.createElement("progress");
      bar.max = version.bytes_total;
      bar.value = Math.min(version.bytes_done, version.bytes_total);
      bar.setAttribute("aria-label", `${bytesText(version.bytes_done)} of ${bytesText(version.bytes_total)}`);
      cell.append(bar, ` ${bytesText(version.bytes_done)} of ${bytesText(version.bytes_total)}`);
    }
  } else if (reason) {
    const why = document.createElement("span");
    why.className = "why";
    why.textContent = reason;
    cell.append(why);
  }
}

function showNames(cell, model, version) {
  const names = model.names.filter((name) => name.version === version).map((name) => name.name);
  if (model.default_version === version && !names.includes("default")) names.unshift("default");
  if (cell.dataset.shown === names.join()) return;
  cell.dataset.shown = names.join();
  cell.replaceChildren(...names.map((name) => {
    const node = document.createElement("span");
    node.className = name === "default" ? "name default" : "name";
    node.textContent = name;
    return node;
  }));
}

function showChoices(status) {
  const select = byId("model");
  const names = status.models.map((model) => model.model);
  const shown = [...select.options].slice(1).map((option) => option.value);
  if (names.join("\n") === shown.join("\n")) return;
  select.replaceChildren(select.options[0], ...names.map((name) => new Option(name, name)));
  if (!names.includes(state.model)) state.model = "";
  select.value = state.model;
}

function showReady(status) {
  const node = byId("ready");
  node.className = "ready " + (status.ready ? "yes" : "no");
  put(node, status.ready ? "ready" : "not ready: " + status.not_ready);
  put(byId("build"), status.build);
  document.title = status.ready ? "paramd" : "\u25b2 paramd";
}

function showAll() {
  const newer = state.scrapes[state.scrapes.length - 1];
  const older = state.scrapes[0];
  if (!newer || !state.last) return;
  showReady(state.last);
  showMemory(newer);
  if (newer === older) return;
  showFigures(newer, older);
  showStages(newer, older);
  showCharts();
  showBatches(newer, older);
  showModels(state.last, newer, older);
}

// ---- Asking. ----

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(kAnswerMs) });
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  return answer;
}

function showLost() {
  const now = Date.now() / 1000;
  const first = state.lostSince === 0;
  if (first) {
    state.lostSince = now;
    say("the daemon does not answer", now);
  }
  document.body.classList.add("stale");
  byId("lost").hidden = false;
  // The words stay the same, so that a screen reader says them once.
  if (first) byId("lost").textContent = `No answer from the daemon since ${clockText(now)}. What is below is old; asking again every second.`;
  byId("ready").className = "ready no";
  put(byId("ready"), "lost");
  document.title = "\u25b2 lost: paramd";
}

function showFound() {
  if (state.lostSince === 0) return;
  state.lostSince = 0;
  state.scrapes = [];
  document.body.classList.remove("stale");
  byId("lost").hidden = true;
  say("the daemon answers again", Date.now() / 1000);
}

async function poll() {
  if (!state.paused && !document.hidden) {
    try {
      const [metrics, status] = await Promise.all([
        ask("metrics").then((answer) => answer.text()),
        ask("status.json").then((answer) => answer.json()),
      ]);
      if (!state.paused) {
        showFound();
        tellChanges(state.last, status);
        state.last = status;
        remember(new Scrape(metrics, performance.now() / 1000 + performance.timeOrigin / 1000));
        showAll();
      }
    } catch (error) {
      showLost();
    }
  }
  setTimeout(poll, kPollMs);
}

byId("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  byId("pause").setAttribute("aria-pressed", state.paused);
  byId("pause").textContent = state.paused ? "Go on" : "Pause";
});
byId("model").addEventListener("change", () => {
  state.model = byId("model").value;
  showAll();
});
for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", showAll);
addEventListener("resize", showAll);
poll();
