// Entries of the log: what each kind holds, and nothing else (broker/evidence/kinds.py).

const ENTRY_BYTES_MAX = 65535;

const isNull = (value) => value === null;
const isMatching = (pattern) => (value) => typeof value === "string" && pattern.test(value);
const orNull = (form) => (value) => value === null || form(value);
const orEmpty = (form) => (value) => value === "" || form(value);
const isWithin = (least, most) => (value) => typeof value === "bigint" && value >= least && value <= most;
const isListOf = (form) => (value) => Array.isArray(value) && value.every(form);

const isCode = isMatching(/^[A-Za-z0-9][A-Za-z0-9_.:>=<-]{0,79}$/);
const isRule = isMatching(/^[A-Za-z0-9_.:/>=<-]{1,160}$/);
const isHash = isMatching(/^[0-9a-f]{64}$/);
const isKeyedHash = isMatching(/^[0-9a-f]{32,64}$/);
const isKeyId = isMatching(/^[A-Za-z0-9_-]{1,80}$/);
const isReference = isMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const isPairs = isListOf((pair) => Array.isArray(pair) && pair.length === 2 && pair.every(isCode));

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

const ACTS = {
  client_registered: "client",
  client_extended: "client",
  client_keys_exchanged: "client",
  client_suspended: "client",
  client_resumed: "client",
  staff_registered: "staff",
  staff_revoked: "staff",
  citizen_created: "citizen",
  citizen_renewed: "citizen",
  citizen_suspended: "citizen",
  citizen_resumed: "citizen",
  consent_invalidated: "consent",
  complaint_acknowledged: "complaint",
  complaint_answered: "complaint",
  notice_retried: "notice",
  log_created: "log",
  log_recovered: "log",
  log_closed: "log",
  emergency_begun: "log",
  emergency_ended: "log",
};

// Of a release and of a refusal: what left or stayed, for whom, under which rules.
const DECISION = {
  acting_person: orNull(isKeyedHash),
  action: isCode,
  agreement: orEmpty(isCode),
  agreement_revision: orEmpty(isHash),
  at: isInstant,
  client: isCode,
  consent: orNull(isCode),
  consent_version: orNull(isWithin(0n, 2n ** 53n - 1n)),
  data_subject_commit: orNull(isHash),
  determining_rules: isListOf(isRule),
  encounter: orNull(isKeyedHash),
  legal_basis: orEmpty(isCode),
  payload_commit: orNull(isHash),
  purpose: orEmpty(isCode),
  reason: orEmpty(isCode),
  recipient: isCode,
  reference: isCode,
  released: isPairs,
  request_id: isCode,
  result: isOneOf(["released", "answered_without_data", "refused", "error"]),
  withheld: isPairs,
};

// Kind → form of each member, `kind` and `schema` left aside: they are in every entry.
const KINDS = {
  release: DECISION,
  refusal: DECISION,
  consent: {
    actor: isOneOf(["broker", "client", "data_subject", "operator", "representative"]),
    agreement: isCode,
    agreement_revision: isHash,
    at: isInstant,
    client: isCode,
    consent: isCode,
    consent_version: isWithin(1n, 2n ** 31n - 1n),
    data_subject_commit: isHash,
    event: isOneOf([
      "amended", "cancelled", "confirmed", "cosigned", "expired", "extended", "given", "inapplicable",
      "invalidated", "partially_given", "paused", "refresh_due", "refused", "request_expired", "requested",
      "resumed", "superseded", "viewed", "withdrawn",
    ]),
    fields: isPairs,
    notice_hash: orEmpty(isHash),
    purpose: isCode,
    recipient: isCode,
    record_hash: isHash,
    reference: isCode,
    state: isOneOf([
      "active", "cancelled", "expired", "inapplicable", "invalidated", "paused", "pending_cosign", "refresh_due",
      "refused", "request_expired", "requested", "superseded", "withdrawn",
    ]),
  },
  policy_change: {
    acting_person: orNull(isKeyedHash),
    actor: isOneOf(["operator", "broker"]),
    agreement: isCode,
    at: isInstant,
    event: isOneOf(["published", "suspended", "resumed"]),
    new_revision: isHash,
    old_revision: orEmpty(isHash),
    reference: isReference,
  },
  key_event: {
    acting_person: orNull(isKeyedHash),
    at: isInstant,
    event: isOneOf(["created", "activated", "retired", "revoked", "rewrapped", "destroyed"]),
    kid: isKeyId,
    purpose: isOneOf([
      "access_token", "receipt", "id_token", "introspection", "security_event", "consent_receipt", "log",
      "witness", "timestamp", "extract", "key_encryption", "pseudonym",
    ]),
    reference: isReference,
  },
  administration: {
    act: isOneOf(Object.keys(ACTS)),
    acting_person: orNull(isKeyedHash),
    actor: isOneOf(["operator", "client", "broker"]),
    at: isInstant,
    reference: isReference,
    target: isCode,
    target_kind: isOneOf(Object.values(ACTS)),
  },
  export: {
    acting_person: orNull(isKeyedHash),
    agreement: isCode,
    agreement_revision: isHash,
    at: isInstant,
    cell_count: isWithin(0n, 10n ** 9n),
    format: isCode,
    recipient: isCode,
    reference: isReference,
    release: isCode,
    suppressed_permille: isWithin(0n, 1000n),
    tables_hash: isHash,
  },
  log_read: {
    acting_person: orNull(isKeyedHash),
    at: isInstant,
    data_subject_commit: orNull(isHash),
    legal_basis: isCode,
    reader: isOneOf(["own", "operator", "auditor"]),
    reference: isReference,
  },
  erasure: {
    acting_person: orNull(isKeyedHash),
    at: isInstant,
    data_subject_commit: isHash,
    kept_until: orEmpty(isDay),
    legal_ground: isCode,
    reference: isReference,
    result: isOneOf(["erased", "kept"]),
    year: isWithin(2000n, 9999n),
  },
};

// Kind → whether members fit one another, where their forms alone do not say it.
const FITTING = {
  policy_change: (entry) => (entry.get("event") === "published") !== (entry.get("old_revision") === entry.get("new_revision")),
  administration: (entry) => entry.get("target_kind") === ACTS[entry.get("act")],
  log_read: (entry) =>
    entry.get("reader") === "own"
      ? isNull(entry.get("acting_person")) && !isNull(entry.get("data_subject_commit"))
      : !isNull(entry.get("acting_person")),
  erasure: (entry) => (entry.get("result") === "kept") === (entry.get("kept_until") !== ""),
};

// Return the members of an entry in bytes of the log; throw EvidenceInvalid unless it is one, letter by letter.
function parseEntry(content) {
  if (content.length > ENTRY_BYTES_MAX) {
    throw new EvidenceInvalid("entry_too_long");
  }
  const text = textOf(content);
  let entry = null;
  try {
    entry = text === null ? null : parsedJson(text, AS_ENTRY);
  } catch {
    // said below
  }
  if (!(entry instanceof Map)) {
    throw new EvidenceInvalid("entry_not_canonical", "this is no JSON object");
  }
  const kind = entry.get("kind");
  if (typeof kind !== "string" || !Object.hasOwn(KINDS, kind)) {
    throw new EvidenceInvalid("entry_kind_unknown");
  }
  checkShape(entry, KINDS[kind]);
  if (Object.hasOwn(FITTING, kind) && !FITTING[kind](entry)) {
    throw new EvidenceInvalid("entry_schema", "members do not fit one another");
  }
  // Written again it must be the same letters: no white space, no member twice, no other order or spelling.
  if (canonicalText(entry) !== text) {
    throw new EvidenceInvalid("entry_not_canonical", "the RFC spells it in another way");
  }
  return entry;
}

function checkShape(entry, shape) {
  const names = ["kind", "schema", ...Object.keys(shape)];
  if (entry.size !== names.length || !names.every((name) => entry.has(name))) {
    throw new EvidenceInvalid("entry_schema", "members differ");
  }
  if (entry.get("schema") !== 1n) {
    throw new EvidenceInvalid("entry_schema", "schema is not known");
  }
  for (const [name, isOfForm] of Object.entries(shape)) {
    if (!isOfForm(entry.get(name))) {
      throw new EvidenceInvalid("entry_schema", `${name} is not of its form`);
    }
  }
}
