// Checking evidence in a browser. This file and its neighbours are put behind one another, in the order that
// consent_ui/verifying.py names, and become one module: the one on the page, and the one inside the page that
// is kept on a disk. Nothing here asks a server for anything, and nothing is sent anywhere.
//
// What each check means, byte by byte: docs/evidence.md. The same checks in Python: broker/evidence/verifier.py.
// A test lets both judge the same files, and compares what they say.

// Bytes: text, base64, hashes, signatures.

// Something is not evidence. reason: a closed code of docs/evidence.md, "Reasons".
class EvidenceInvalid extends Error {
  constructor(reason, detail = "") {
    super(detail ? `${reason}: ${detail}` : reason);
    this.reason = reason;
    this.detail = detail;
  }
}

// This browser cannot compute what a check needs. That is no fault of the evidence, and proves nothing of it.
class Unsupported extends Error {}

const HASH_BYTES = 32;
const SALT_BYTES = 32;
const SIGNATURE_BYTES = 64;
const ENCODER = new TextEncoder();

// Return the text in UTF-8 bytes, or null where they are none. A byte order mark is a letter like any other.
function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

// Return whether a string is text: half a surrogate pair has no UTF-8.
function isText(value) {
  return !/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/.test(value);
}

function joined(...parts) {
  const all = new Uint8Array(parts.reduce((length, one) => length + one.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function areSame(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function hexOf(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Return the bytes of standard base64 (RFC 4648, 4) in its one spelling; throw EvidenceInvalid (reason).
function base64Bytes(text, reason) {
  // atob alone would take white space, missing padding and bits behind the end.
  if (!text || text.length % 4 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
    throw new EvidenceInvalid(reason, "this is no base64");
  }
  const told = atob(text);
  if (btoa(told) !== text) {
    throw new EvidenceInvalid(reason, "this base64 has another spelling");
  }
  return Uint8Array.from(told, (letter) => letter.charCodeAt(0));
}

// Return SHA-256 over bytes put behind one another. Browsers compute it in secure contexts only.
async function sha256(...parts) {
  if (!globalThis.crypto?.subtle) {
    throw new Unsupported("SHA-256");
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
}

// Return whether 64 bytes are the Ed25519 signature (RFC 8032) of a public key of 32 bytes over a message.
async function isSigned(publicKey, signature, message) {
  if (!(await hasEd25519())) {
    throw new Unsupported("Ed25519");
  }
  return signature.length === SIGNATURE_BYTES && isSignedBy(publicKey, signature, message);
}

async function isSignedBy(publicKey, signature, message) {
  try {
    const key = await crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
    return await crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
  } catch {
    return false; // 32 bytes that are no point of the curve are nobody's key
  }
}

// RFC 8032, 7.1, test 2: a public key, a message of one byte, and its signature.
const KNOWN = {
  publicKey: "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=",
  message: Uint8Array.of(0x72),
  signature: "kqAJqfDUyrhyDoILX2QlQKKye1QWUD+Ps3YiI+vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA==",
};

// Return whether this browser tells good signatures from bad ones: it is tried, not believed.
let known;
function hasEd25519() {
  known ??= triedEd25519();
  return known;
}

async function triedEd25519() {
  if (!globalThis.crypto?.subtle) {
    return false;
  }
  const [publicKey, signature] = [base64Bytes(KNOWN.publicKey), base64Bytes(KNOWN.signature)];
  const forged = signature.slice();
  forged[0] ^= 1;
  return (
    (await isSignedBy(publicKey, signature, KNOWN.message)) &&
    !(await isSignedBy(publicKey, forged, KNOWN.message))
  );
}
