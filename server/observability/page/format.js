// Numbers as people read them; always three significant digits, units of 1000.

const kNone = "\u2013";

function digits(number) {
  if (number >= 100) return number.toFixed(0);
  if (number >= 10) return number.toFixed(1);
  return number.toFixed(2);
}

function scaled(number, units, step) {
  let unit = 0;
  while (unit + 1 < units.length && number >= 999.5) {
    number /= step;
    ++unit;
  }
  return (unit === 0 && Number.isInteger(number) ? String(number) : digits(number)) + "\u00a0" + units[unit];
}

const bytesText = (bytes) => (bytes === undefined ? kNone : scaled(bytes, ["B", "kB", "MB", "GB", "TB"], 1000));
const countText = (count) => (count === undefined ? kNone : Math.round(count).toLocaleString("en-US"));
const rateText = (rate) => (rate === undefined ? kNone : rate === 0 ? "0" : rate >= 100 ? countText(rate) : digits(rate));
const shareText = (share) => (share === undefined ? kNone : (100 * share).toFixed(1) + "\u00a0%");

function secondsText(seconds) {
  if (seconds === undefined) return kNone;
  if (seconds >= 0.9995) return digits(seconds) + "\u00a0s";
  return scaled(seconds * 1e6, ["\u00b5s", "ms"], 1000);
}

const clockText = (seconds) => new Date(seconds * 1000).toTimeString().slice(0, 8);
