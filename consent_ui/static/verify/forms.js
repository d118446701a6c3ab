// Forms of members in entries (broker/evidence/shapes.py): functions that say whether a value is of one.

const isNull = (value) => value === null;
const isMatching = (pattern) => (value) => typeof value === "string" && pattern.test(value);
const orNull = (form) => (value) => value === null || form(value);
const orEmpty = (form) => (value) => value === "" || form(value);
const isWithin = (least, most) => (value) => typeof value === "bigint" && value >= least && value <= most;
const isListOf = (form) => (value) => Array.isArray(value) && value.every(form);

// Twelve digits could be a person's number, and are no code.
const isCode = isMatching(/^(?![0-9]{12}$)[A-Za-z0-9][A-Za-z0-9_.:>=<-]{0,79}$/);
// Of releases and refusals: their first entries are older than that rule.
const isWord = isMatching(/^[A-Za-z0-9][A-Za-z0-9_.:>=<-]{0,79}$/);
const isName = isMatching(/^[A-Za-z0-9][A-Za-z0-9_.:~>=<-]{0,79}$/);
const isRule = isMatching(/^[A-Za-z0-9_.:/>=<-]{1,160}$/);
const isHash = isMatching(/^[0-9a-f]{64}$/);
// What clients, organisations and rows are called.
const isId = isMatching(/^(?![0-9]{12}$)[A-Za-z0-9._~:-]{1,80}$/);
const isKeyedHash = isMatching(/^[0-9a-f]{32,64}$/);
const isKeyId = isMatching(/^(?![0-9]{12}$)[A-Za-z0-9_-]{1,80}$/);
const isReference = isMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const isPairsOf = (form) => isListOf((pair) => Array.isArray(pair) && pair.length === 2 && pair.every(form));

// Return whether a text is a civil day that exists: 2026-11-22.
function isDay(value) {
  if (typeof value !== "string" || !/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(value)) return false;
  const [year, month, day] = value.split("-").map(Number);
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1];
}

// Return whether a text is an instant that exists, in UTC with milliseconds: 2026-11-22T00:15:04.123Z.
function isInstant(value) {
  if (typeof value !== "string" || !/^[^T]{10}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/.test(value)) return false;
  const [hour, minute, second] = [value.slice(11, 13), value.slice(14, 16), value.slice(17, 19)].map(Number);
  return isDay(value.slice(0, 10)) && hour <= 23 && minute <= 59 && second <= 59;
}

function isOneOf(values) {
  const closed = new Set(values);
  return (value) => closed.has(value);
}
