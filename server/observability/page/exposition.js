// The text format of /metrics, and what can be said from two readings of it.

// One reading: every series by its text, and by name with its labels.
class Scrape {
  constructor(text, at) {
    this.at = at;  // Seconds.
    this.series = new Map();  // 'name{labels}' -> value
    this.families = new Map();  // name -> [{key, labels, value}]
    const line = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$/;
    for (const row of text.split("\n")) {
      const found = row[0] === "#" ? null : line.exec(row);
      if (!found) continue;
      const key = found[1] + (found[2] || "");
      const one = { key, labels: Scrape.labels(found[2] || ""), value: Scrape.number(found[3]) };
      this.series.set(key, one.value);
      if (!this.families.has(found[1])) this.families.set(found[1], []);
      this.families.get(found[1]).push(one);
    }
  }

  static number(text) {
    return text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text);
  }

  static labels(text) {
    const labels = {};
    for (const [, name, value] of text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    }
    return labels;
  }

  // Series of a family whose labels are as `where` says.
  matching(name, where = {}) {
    const wanted = Object.entries(where).filter(([, value]) => value !== undefined && value !== "");
    return (this.families.get(name) || []).filter((one) => wanted.every(([k, v]) => one.labels[k] === v));
  }

  // Their sum; undefined where there is none: the kernel did not tell.
  sum(name, where) {
    const found = this.matching(name, where);
    return found.length === 0 ? undefined : found.reduce((sum, one) => sum + one.value, 0);
  }
}

// How much one counter grew. A counter that fell began anew.
function grown(newer, older, key) {
  const now = newer.series.get(key);
  const before = older.series.get(key) || 0;
  return now < before ? now : now - before;
}

function growth(newer, older, name, where) {
  return newer.matching(name, where).reduce((sum, one) => sum + grown(newer, older, one.key), 0);
}

function perSecond(newer, older, name, where) {
  return growth(newer, older, name, where) / (newer.at - older.at);
}

// What a histogram counted between two readings, summed over series:
// {bounds, counts (one each, not cumulative), count, sum}.
function histogramBetween(newer, older, name, where) {
  const cumulative = new Map();
  for (const one of newer.matching(name + "_bucket", where)) {
    const bound = Scrape.number(one.labels.le);
    cumulative.set(bound, (cumulative.get(bound) || 0) + grown(newer, older, one.key));
  }
  const bounds = [...cumulative.keys()].sort((a, b) => a - b);
  const counts = bounds.map((bound, i) => cumulative.get(bound) - (i === 0 ? 0 : cumulative.get(bounds[i - 1])));
  return { bounds, counts, count: counts.reduce((a, b) => a + b, 0), sum: growth(newer, older, name + "_sum", where) };
}

// As Prometheus' histogram_quantile: linear within the bucket.
function quantile(histogram, share) {
  if (histogram.count === 0) return undefined;
  let left = share * histogram.count;
  for (let i = 0; i < histogram.bounds.length; ++i) {
    if (left > histogram.counts[i]) {
      left -= histogram.counts[i];
      continue;
    }
    const low = i === 0 ? 0 : histogram.bounds[i - 1];
    if (histogram.bounds[i] === Infinity) return low;
    return low + (histogram.bounds[i] - low) * (left / histogram.counts[i]);
  }
  return undefined;
}

function mean(histogram) {
  return histogram.count === 0 ? undefined : histogram.sum / histogram.count;
}
