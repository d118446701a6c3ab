// One evidence file, checked: what holds, what fails, what was not asked. Its words are elsewhere.
// broker/evidence/evidence_file.py and broker/evidence/verifier.py.

const FORMAT = "broker-evidence@v1";
const FILE_BYTES_MAX = 16777216;
const KEYS_MAX = 100;
const FILE_MEMBERS = ["data_subject", "format", "log_keys", "payload", "proof", "witness_keys", "witnesses_needed"];
// Time stamps (RFC 3161) are checked against an authority's certificates: that is the program's part, not ours.
const CHECK_NAMES = [
  "entry_form", "proof_form", "log_signature", "witnesses", "timestamp", "inclusion", "data_subject", "payload",
];
const NEEDED = ["entry_form", "proof_form", "log_signature", "inclusion"];

function malformed(detail) {
  return new EvidenceInvalid("file_malformed", detail);
}

// Return an evidence file from its bytes; nothing of entry and proof is verified yet.
// Throws EvidenceInvalid: file_malformed, and key_malformed for a key that is none.
async function parseEvidenceFile(content) {
  if (content.length > FILE_BYTES_MAX) {
    throw malformed("the file is longer than 16 MiB");
  }
  const told = documentOf(content);
  if (told.get("format") !== FORMAT) {
    throw malformed(`format is not ${FORMAT}`);
  }
  const names = [...told.keys()].filter((name) => name !== "entry" && name !== "entry_base64");
  const isWhole = names.length === FILE_MEMBERS.length && FILE_MEMBERS.every((name) => told.has(name));
  if (!isWhole || told.has("entry") === told.has("entry_base64")) {
    throw malformed("members differ");
  }
  const needed = told.get("witnesses_needed");
  if (!isWithin(0n, BigInt(KEYS_MAX))(needed)) {
    throw malformed("witnesses_needed is a number");
  }
  return {
    entry: told.has("entry")
      ? ENCODER.encode(textIn(told, "entry"))
      : base64Bytes(textIn(told, "entry_base64"), "file_malformed"),
    proof: textIn(told, "proof"),
    dataSubject: sealedIn(told, "data_subject", "identifier"),
    payload: sealedIn(told, "payload", "content"),
    logKeys: await keysIn(told, "log_keys", LOG_SIGNATURE),
    witnessKeys: await keysIn(told, "witness_keys", COSIGNATURE),
    witnessesNeeded: Number(needed),
  };
}

function documentOf(content) {
  const text = textOf(content);
  let told = null;
  try {
    told = text === null ? null : parsedJson(text, AS_FILE);
  } catch {
    // said below
  }
  if (!(told instanceof Map)) {
    throw malformed("this is no JSON object in which each member stands once");
  }
  return told;
}

function textIn(members, name) {
  const value = members.get(name);
  if (typeof value !== "string" || !value || !isText(value)) {
    throw malformed(`${name} is text`);
  }
  return value;
}

// Return {salt, content} of a commitment, null without; content: bytes, or null where the file has none.
function sealedIn(told, name, contentName) {
  const sealed = told.get(name);
  if (sealed === null) {
    return null;
  }
  if (!(sealed instanceof Map) || sealed.size !== 2 || !sealed.has("salt") || !sealed.has(contentName)) {
    throw malformed(`${name} has salt and ${contentName}, or is null`);
  }
  const salt = base64Bytes(textIn(sealed, "salt"), "file_malformed");
  if (salt.length !== SALT_BYTES) {
    throw malformed("a salt has 32 bytes");
  }
  if (sealed.get(contentName) === null) {
    return { salt, content: null };
  }
  const content = textIn(sealed, contentName);
  const isPlain = contentName === "identifier";
  return { salt, content: isPlain ? ENCODER.encode(content) : base64Bytes(content, "file_malformed") };
}

async function keysIn(told, name, kind) {
  const texts = told.get(name);
  if (!isListOf((one) => typeof one === "string")(texts) || texts.length > KEYS_MAX) {
    throw malformed(`${name} is a list of verifier keys`);
  }
  const keys = [];
  for (const text of texts) {
    keys.push(await parseVkey(text));
  }
  if (keys.some((key) => key.kind !== kind)) {
    throw new EvidenceInvalid("key_malformed", `${name} has keys of another kind`);
  }
  return keys;
}

// Return the keys that somebody brings along, one on each line, as {logKeys, witnessKeys}: the kind stands in
// each. Throws EvidenceInvalid (key_malformed).
async function keysBrought(text) {
  const keys = [];
  for (const line of text.split("\n").map((one) => one.trim())) {
    if (line) keys.push(await parseVkey(line));
  }
  return {
    logKeys: keys.filter((key) => key.kind === LOG_SIGNATURE),
    witnessKeys: keys.filter((key) => key.kind === COSIGNATURE),
  };
}

// Return whose keys count. Keys that are brought along win over those of the file, and then of the witnesses
// that are brought all are needed: as with `broker evidence verify --vkey --witness-vkey`.
function trustOf(file, brought) {
  const logKeys = brought.logKeys.length ? brought.logKeys : file.logKeys;
  const witnessKeys = brought.witnessKeys.length ? brought.witnessKeys : file.witnessKeys;
  if (!logKeys.length) {
    throw new EvidenceInvalid("key_malformed", "no key of a log is given");
  }
  const own = new Set(logKeys.map((key) => hexOf(key.publicKey)));
  if (witnessKeys.some((key) => own.has(hexOf(key.publicKey)))) {
    throw new EvidenceInvalid("key_malformed", "the log is no witness of its own");
  }
  const different = new Set(brought.witnessKeys.map((key) => hexOf(key.publicKey))).size;
  return { logKeys, witnessKeys, witnessesNeeded: different || file.witnessesNeeded };
}

// Return what holds of an evidence file.
//
// content: its bytes. brought: what somebody adds, each "" or null for nothing: keys (text, one on each line),
// identifier (text), payload (bytes); it wins over what the file says.
//
// {isReadable: false, reason, detail} for what is no evidence file, or keys that are none. Otherwise
// {isReadable: true, holds, isSupported, hasOwnKeys, checks: [{name, result, reason}], and what could be read:
// entry (a Map), leaf (hex), leafIndex, checkpoint, witnesses}. result: holds, fails, not_checked. isSupported:
// false where this browser lacks what a check needs; `holds` is then false too.
export async function checkedFile(content, brought = {}) {
  let file, trust, own;
  try {
    file = await parseEvidenceFile(content);
    own = await keysBrought(brought.keys ?? "");
    trust = trustOf(file, own);
  } catch (fault) {
    if (fault instanceof EvidenceInvalid) {
      return { isReadable: false, isSupported: true, reason: fault.reason, detail: fault.detail };
    }
    if (fault instanceof Unsupported) {
      return { isReadable: false, isSupported: false, reason: "", detail: fault.message };
    }
    throw fault;
  }
  const found = await verified(file.entry, file.proof, trust, {
    dataSubject: openingOf(file.dataSubject, brought.identifier ? ENCODER.encode(brought.identifier) : null),
    payload: openingOf(file.payload, brought.payload ?? null),
  });
  return { ...found, isReadable: true, hasOwnKeys: own.logKeys.length > 0 };
}

// Return what opens a commitment: nothing does without its salt.
function openingOf(sealed, content) {
  const opened = sealed === null ? null : { salt: sealed.salt, content: content ?? sealed.content };
  return opened?.content ? opened : null;
}

// Return what holds of an entry (bytes) and its proof file (text). See checkedFile.
async function verified(entry, proof, trust, { dataSubject, payload }) {
  const checks = new Map();
  let isSupported = true;

  async function run(name, check) {
    try {
      const value = await check();
      checks.set(name, { name, result: "holds", reason: null });
      return value;
    } catch (fault) {
      if (fault instanceof EvidenceInvalid) {
        checks.set(name, { name, result: "fails", reason: fault.reason, detail: fault.detail });
      } else if (fault instanceof Unsupported) {
        isSupported = false;
      } else {
        throw fault;
      }
      return null;
    }
  }

  const members = await run("entry_form", () => parseEntry(entry));
  const held = await run("proof_form", () => parseProofFile(proof));
  const leaf = await leafHash(entry);
  let [opened, witnesses] = [null, null];
  if (held) {
    opened = await run("log_signature", () => openCheckpoint(held.note, trust.logKeys));
  }
  // Whatever stands in a checkpoint that its log has not signed says nothing.
  if (opened) {
    const { checkpoint, note } = opened;
    if (trust.witnessKeys.length || trust.witnessesNeeded) {
      witnesses = await run("witnesses", () => checkWitnesses(note, trust.witnessKeys, trust.witnessesNeeded));
    }
    await run("inclusion", () =>
      checkInclusion(leaf, held.leafIndex, checkpoint.treeSize, held.hashes, checkpoint.rootHash),
    );
  }
  if (members && dataSubject) {
    await run("data_subject", () => checkOpened(members, "data_subject", dataSubject));
  }
  if (members && payload) {
    await run("payload", () => checkOpened(members, "payload", payload));
  }
  const all = CHECK_NAMES.map((name) => checks.get(name) ?? { name, result: "not_checked", reason: null });
  const isProven = NEEDED.every((name) => checks.get(name)?.result === "holds");
  return {
    checks: all,
    holds: isSupported && isProven && all.every((one) => one.result !== "fails"),
    isSupported,
    entry: members,
    leaf: hexOf(leaf),
    leafIndex: held?.leafIndex ?? null,
    checkpoint: opened?.checkpoint ?? null,
    witnesses: witnesses ?? [],
  };
}

// Throw EvidenceInvalid unless SHA-256(salt || content) is what the entry commits to.
async function checkOpened(members, name, { salt, content }) {
  const told = members.get(`${name}_commit`) ?? null;
  if (told === null) {
    throw new EvidenceInvalid(`${name}_differs`, "the entry commits to none");
  }
  if (hexOf(await sha256(salt, content)) !== told) {
    throw new EvidenceInvalid(`${name}_differs`);
  }
}
