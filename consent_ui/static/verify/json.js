// JSON, read letter by letter. JSON.parse forgets what matters here: which of two members of one name counts,
// whether a number was whole, and which digits a large one had.
//
// Objects become Maps, whole numbers BigInts, other numbers Numbers; the rest is what JSON.parse makes of it.

// Of the RFC 8785 entries of the log, as orjson reads them: of two members the later counts (what is written
// again then differs), half a surrogate pair is refused, and so is what lies deeper than 1,024 levels.
const AS_ENTRY = { isLastTaken: true, hasHalves: false, depthMax: 1024, wholeMin: -(2n ** 63n), wholeMax: 2n ** 64n - 1n };
// Of evidence files, as Python reads them: no member stands there twice. No file of the form is deep.
const AS_FILE = { isLastTaken: false, hasHalves: true, depthMax: 64, wholeMin: null, wholeMax: null };

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]+/y;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

// Return the value in a text; throw SyntaxError for anything that is not JSON.
function parsedJson(text, rules) {
  let at = 0;

  function fail() {
    throw new SyntaxError(`no JSON at letter ${at}`);
  }
  function skip() {
    while (at < text.length && " \t\n\r".includes(text[at])) at += 1;
  }
  function take(letter) {
    if (text[at] !== letter) fail();
    at += 1;
  }
  function matched(pattern) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at += found[0].length;
    return found;
  }

  function string() {
    take('"');
    let told = "";
    for (;;) {
      told += matched(PLAIN)?.[0] ?? "";
      if (text[at] === '"') break;
      take("\\");
      told += escape();
    }
    at += 1;
    if (!rules.hasHalves && !isText(told)) fail();
    return told;
  }
  function escape() {
    const letter = text[at];
    at += 1;
    if (letter === "u") {
      const digits = text.slice(at, at + 4);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) fail();
      at += 4;
      return String.fromCharCode(parseInt(digits, 16));
    }
    return Object.hasOwn(ESCAPES, letter ?? "") ? ESCAPES[letter] : fail();
  }

  function number() {
    const found = matched(NUMBER);
    if (!found) fail();
    const [digits, fraction, exponent] = found;
    const isWhole = fraction === undefined && exponent === undefined;
    if (isWhole && digits.length <= 4300) {
      const whole = BigInt(digits);
      if (rules.wholeMin === null || (whole >= rules.wholeMin && whole <= rules.wholeMax)) return whole;
    }
    const value = Number(digits);
    if (!Number.isFinite(value)) fail();
    return value;
  }

  function list(depth) {
    take("[");
    const values = [];
    skip();
    if (text[at] === "]") {
      at += 1;
      return values;
    }
    for (;;) {
      values.push(value(depth));
      if (text[at] !== ",") break;
      at += 1;
    }
    take("]");
    return values;
  }

  function object(depth) {
    take("{");
    const members = new Map();
    skip();
    if (text[at] === "}") {
      at += 1;
      return members;
    }
    for (;;) {
      skip();
      const name = string();
      skip();
      take(":");
      if (members.has(name) && !rules.isLastTaken) fail();
      members.set(name, value(depth));
      if (text[at] !== ",") break;
      at += 1;
    }
    take("}");
    return members;
  }

  // Read one value with the white space around it. depth: how many lists and objects it lies in.
  function value(depth) {
    skip();
    let told;
    const letter = text[at];
    if (letter === '"') told = string();
    else if (letter === "{" || letter === "[") {
      if (depth >= rules.depthMax) fail();
      told = letter === "{" ? object(depth + 1) : list(depth + 1);
    } else if (text.startsWith("true", at)) [told, at] = [true, at + 4];
    else if (text.startsWith("false", at)) [told, at] = [false, at + 5];
    else if (text.startsWith("null", at)) [told, at] = [null, at + 4];
    else told = number();
    skip();
    return told;
  }

  const told = value(0);
  if (at !== text.length) fail();
  return told;
}

// Return the RFC 8785 form of a value of closed forms: ASCII names, whole numbers within ±(2^53 - 1).
function canonicalText(value) {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(",")}]`;
  if (value instanceof Map) {
    const names = [...value.keys()].sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonicalText(value.get(name))}`).join(",")}}`;
  }
  return typeof value === "bigint" ? value.toString() : JSON.stringify(value);
}
