// Keys, checkpoints, cosignatures (C2SP signed-note, tlog-checkpoint, tlog-cosignature) and proof files
// (C2SP tlog-proof@v1): broker/evidence/signed_note.py, checkpoint.py, cosignature.py, proof_file.py.

const LOG_SIGNATURE = 0x01;
const COSIGNATURE = 0x04;
const KEY_ID_BYTES = 4;
const TIME_BYTES = 8;
const SIZE_MAX = 2n ** 63n - 1n;
const NOTE_BYTES_MAX = 131072;
const SIGNATURES_MAX = 100;
const NAME_LENGTH_MAX = 255;
const PROOF_HEADER = "c2sp.org/tlog-proof@v1";
const PROOF_HASHES_MAX = 63;
const PROOF_HEAD_MAX = 100000;
const EXTRA_BYTES_MAX = 65536;
const DASH = "\u2014 ";

// White space as Unicode has it, control characters and the plus sign.
const NO_NAME = /[\u0000-\u0020\u007f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000+]/;

function isKeyName(name) {
  const length = [...name].length;
  return length > 0 && length <= NAME_LENGTH_MAX && !NO_NAME.test(name) && isText(name);
}

// Return a verifier key, name+hex(key id)+base64(kind || public key), as {name, kind, publicKey, keyId, vkey}.
// Throws EvidenceInvalid (key_malformed), also where the id is another key's.
async function parseVkey(text) {
  const found = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text);
  if (!found) {
    throw new EvidenceInvalid("key_malformed", "a key is name+id+base64");
  }
  const [, name, idTold, keyTold] = found;
  const held = base64Bytes(keyTold, "key_malformed");
  const [kind, publicKey] = [held[0], held.slice(1)];
  const isKind = kind === LOG_SIGNATURE || kind === COSIGNATURE;
  if (!isKeyName(name) || !isKind || publicKey.length !== HASH_BYTES) {
    throw new EvidenceInvalid("key_malformed", "the name, or the algorithm, is none of ours");
  }
  const keyId = (await sha256(ENCODER.encode(`${name}\n`), held)).slice(0, KEY_ID_BYTES);
  if (hexOf(keyId) !== idTold) {
    throw new EvidenceInvalid("key_malformed", "the id is another key's");
  }
  return { name, kind, publicKey, keyId, vkey: text };
}

// Return a signed note as {text, signatures}; nothing of it is verified yet. Throws EvidenceInvalid.
function parseNote(content) {
  if (ENCODER.encode(content).length > NOTE_BYTES_MAX) {
    throw new EvidenceInvalid("note_malformed", "the note is too long");
  }
  if (/[\u0000-\u0009\u000b-\u001f]/.test(content)) {
    throw new EvidenceInvalid("note_malformed", "the note has control characters");
  }
  const end = content.lastIndexOf("\n\n");
  const below = content.slice(end + 2);
  if (end < 1 || !below.endsWith("\n")) {
    throw new EvidenceInvalid("note_malformed", "a note is text, an empty line and signatures");
  }
  const lines = below.slice(0, -1).split("\n");
  if (lines.length > SIGNATURES_MAX) {
    throw new EvidenceInvalid("note_malformed", "the note has too many signatures");
  }
  return { text: content.slice(0, end + 1), signatures: lines.map(parseSignature) };
}

function parseSignature(line) {
  const parts = line.slice(DASH.length).split(" ");
  if (!line.startsWith(DASH) || parts.length !== 2 || !isKeyName(parts[0])) {
    throw new EvidenceInvalid("note_malformed", "a line below the text is no signature");
  }
  const held = base64Bytes(parts[1], "note_malformed");
  if (held.length <= KEY_ID_BYTES) {
    throw new EvidenceInvalid("note_malformed", "a signature is too short");
  }
  return { name: parts[0], keyId: held.slice(0, KEY_ID_BYTES), signature: held.slice(KEY_ID_BYTES) };
}

// Return the lines below a note that claim to be a key's. Whether they are, only verifying tells.
function linesBy(note, key) {
  return note.signatures.filter((one) => one.name === key.name && areSame(one.keyId, key.keyId));
}

// Return a number from 0 to 2^63 - 1 in its one decimal spelling; throw EvidenceInvalid (reason).
function numberOf(text, reason) {
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(text) || BigInt(text) > SIZE_MAX) {
    throw new EvidenceInvalid(reason, "this is no number of the log");
  }
  return BigInt(text);
}

// Return the checkpoint in a note's text, exactly three lines, as {origin, treeSize, rootHash}.
async function parseCheckpoint(text) {
  const lines = text.split("\n");
  if (lines.length !== 4 || lines[3] !== "") {
    throw new EvidenceInvalid("checkpoint_malformed", "a checkpoint of ours has three lines");
  }
  const origin = lines[0];
  const treeSize = numberOf(lines[1], "checkpoint_malformed");
  const rootHash = base64Bytes(lines[2], "checkpoint_malformed");
  if (!isKeyName(origin) || rootHash.length !== HASH_BYTES) {
    throw new EvidenceInvalid("checkpoint_malformed", "the origin or the root is none");
  }
  if (treeSize === 0n && !areSame(rootHash, await sha256())) {
    throw new EvidenceInvalid("checkpoint_malformed", "an empty tree has another root");
  }
  return { origin, treeSize, rootHash };
}

// Return {checkpoint, note} of a signed note, if its own log signed it. Lines by other keys are ignored; of a
// known key each line must verify. Throws EvidenceInvalid, Unsupported.
async function openCheckpoint(content, logKeys) {
  const note = parseNote(content);
  const checkpoint = await parseCheckpoint(note.text);
  const keys = logKeys.filter((one) => one.name === checkpoint.origin);
  if (!keys.length) {
    throw new EvidenceInvalid("origin_unknown");
  }
  const claims = keys.flatMap((key) => linesBy(note, key).map((line) => [key, line]));
  if (!claims.length) {
    throw new EvidenceInvalid("checkpoint_unsigned");
  }
  for (const [key, line] of claims) {
    if (!(await isSigned(key.publicKey, line.signature, ENCODER.encode(note.text)))) {
      throw new EvidenceInvalid("log_signature_invalid");
    }
  }
  return { checkpoint, note };
}

// Return which of the known witnesses cosigned a note, each once, with the latest time it gives, as
// {name, atSeconds}. Throws EvidenceInvalid where a line is not the witness's, or there are too few.
async function checkWitnesses(note, witnessKeys, needed) {
  const found = new Map();
  for (const key of witnessKeys) {
    for (const line of linesBy(note, key)) {
      const atSeconds = await cosignedAt(line, key, note.text);
      // One key under several names is one witness: what it signs does not hold the name.
      const held = found.get(hexOf(key.publicKey));
      if (!held || held.atSeconds < atSeconds) {
        found.set(hexOf(key.publicKey), { name: key.name, atSeconds });
      }
    }
  }
  if (found.size < needed) {
    throw new EvidenceInvalid("witnesses_missing", `${found.size} of ${needed}`);
  }
  return [...found.values()];
}

async function cosignedAt(line, key, text) {
  const atSeconds = BigInt(`0x0${hexOf(line.signature.slice(0, TIME_BYTES))}`);
  const signature = line.signature.slice(TIME_BYTES);
  const message = ENCODER.encode(`cosignature/v1\ntime ${atSeconds}\n${text}`);
  const isWhole = signature.length === SIGNATURE_BYTES && atSeconds <= SIZE_MAX;
  if (!isWhole || !(await isSigned(key.publicKey, signature, message))) {
    throw new EvidenceInvalid("witness_signature_invalid");
  }
  return atSeconds;
}

// Return what a proof file holds as {leafIndex, hashes, note}; nothing is verified yet.
function parseProofFile(content) {
  const end = content.indexOf("\n\n");
  const [head, note] = [content.slice(0, end), content.slice(end + 2)];
  if (end < 0 || head.length > PROOF_HEAD_MAX || ENCODER.encode(note).length > NOTE_BYTES_MAX) {
    throw new EvidenceInvalid("proof_malformed", "a proof is its lines, an empty line and a checkpoint");
  }
  const lines = head.split("\n");
  if (lines.shift() !== PROOF_HEADER) {
    throw new EvidenceInvalid("proof_malformed", `a proof begins with ${PROOF_HEADER}`);
  }
  if (lines[0]?.startsWith("extra ")) {
    const extra = base64Bytes(lines.shift().slice("extra ".length), "proof_malformed");
    if (extra.length > EXTRA_BYTES_MAX) {
      throw new EvidenceInvalid("proof_malformed", "the extra line has an end");
    }
  }
  if (!lines[0]?.startsWith("index ") || lines.length > PROOF_HASHES_MAX + 1) {
    throw new EvidenceInvalid("proof_malformed", "an index is followed by at most 63 hashes");
  }
  const leafIndex = numberOf(lines.shift().slice("index ".length), "proof_malformed");
  const hashes = lines.map((line) => base64Bytes(line, "proof_malformed"));
  if (hashes.some((one) => one.length !== HASH_BYTES)) {
    throw new EvidenceInvalid("proof_malformed", "a hash has 32 bytes");
  }
  return { leafIndex, hashes, note };
}

// Return SHA-256(0x00 || entry): the leaf of an entry (RFC 6962, 2.1).
function leafHash(entry) {
  return sha256(Uint8Array.of(0), entry);
}

function nodeHash(left, right) {
  return sha256(Uint8Array.of(1), left, right);
}

// Throw EvidenceInvalid unless the hashes lead from a leaf at its index to the root (RFC 9162, 2.1.3.2).
async function checkInclusion(leaf, leafIndex, treeSize, hashes, rootHash) {
  if (leafIndex >= treeSize) {
    throw new EvidenceInvalid("index_beyond_tree");
  }
  let [at, last, computed] = [leafIndex, treeSize - 1n, leaf];
  for (const sibling of hashes) {
    if (last === 0n) {
      throw new EvidenceInvalid("inclusion_not_proven", "there are more hashes than levels");
    }
    if (at & 1n || at === last) {
      computed = await nodeHash(sibling, computed);
      while (!(at & 1n) && at) [at, last] = [at >> 1n, last >> 1n];
    } else {
      computed = await nodeHash(computed, sibling);
    }
    [at, last] = [at >> 1n, last >> 1n];
  }
  if (last) {
    throw new EvidenceInvalid("inclusion_not_proven", "there are fewer hashes than levels");
  }
  if (!areSame(computed, rootHash)) {
    throw new EvidenceInvalid("inclusion_not_proven", "the hashes lead to another root");
  }
}
