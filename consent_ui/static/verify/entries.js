// Entries of the log: what each kind holds, and nothing else (broker/evidence/kinds.py).

const ENTRY_BYTES_MAX = 65535;

const isGivenWord = isOneOf(["organisation", "kind", "scope", "agreement", "grant_type", "until", "manifest"]);
const isGiven = isListOf(
  (pair) => Array.isArray(pair) && pair.length === 2 && isGivenWord(pair[0]) && isId(pair[1]),
);

// Act → the kind of thing it is done to.
const ACTS = {
  organisation_registered: "organisation",
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
  complaint_read: "complaint",
  complaint_acknowledged: "complaint",
  complaint_answered: "complaint",
  notice_retried: "notice",
  log_created: "log",
  log_recovered: "log",
  log_closed: "log",
  emergency_begun: "log",
  emergency_ended: "log",
  disclosure_extended: "entry",
  statistics_frozen: "statistics",
  statistics_superseded: "statistics",
};

// Of a release and of a refusal: what left or stayed, for whom, under which rules.
const DECISION = {
  acting_person: orNull(isKeyedHash),
  action: isWord,
  agreement: orEmpty(isWord),
  agreement_revision: orEmpty(isHash),
  at: isInstant,
  client: isName,
  consent: orNull(isWord),
  consent_version: orNull(isWithin(0n, 2n ** 53n - 1n)),
  data_subject_commit: orNull(isHash),
  determining_rules: isListOf(isRule),
  encounter: orNull(isKeyedHash),
  legal_basis: orEmpty(isWord),
  payload_commit: orNull(isHash),
  purpose: orEmpty(isWord),
  reason: orEmpty(isWord),
  recipient: isName,
  reference: isWord,
  released: isPairsOf(isWord),
  request_id: isWord,
  result: isOneOf(["released", "answered_without_data", "refused", "error"]),
  withheld: isPairsOf(isWord),
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
    client: isId,
    consent: isCode,
    consent_version: isWithin(1n, 2n ** 31n - 1n),
    data_subject_commit: isHash,
    event: isOneOf([
      "amended", "cancelled", "confirmed", "cosigned", "expired", "extended", "given", "inapplicable",
      "invalidated", "partially_given", "paused", "refresh_due", "refused", "request_expired", "requested",
      "resumed", "superseded", "viewed", "withdrawn",
    ]),
    fields: isPairsOf(isCode),
    notice_hash: orEmpty(isHash),
    purpose: isCode,
    recipient: isId,
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
    event: isOneOf(["published", "registers_changed", "suspended", "resumed"]),
    new_registers: orEmpty(isHash),
    new_revision: isHash,
    old_registers: orEmpty(isHash),
    old_revision: orEmpty(isHash),
    reference: isReference,
  },
  key_event: {
    acting_person: orNull(isKeyedHash),
    actor: isOneOf(["operator", "broker"]),
    at: isInstant,
    effective_at: isInstant,
    event: isOneOf(["created", "activated", "retired", "revoked", "rewrapped", "destroyed"]),
    kid: isKeyId,
    purpose: isOneOf([
      "access_token", "receipt", "id_token", "introspection", "security_event", "consent_receipt", "log",
      "witness", "timestamp", "extract", "key_encryption", "pseudonym", "evidence",
    ]),
    reference: isReference,
  },
  administration: {
    act: isOneOf(Object.keys(ACTS)),
    acting_person: orNull(isKeyedHash),
    actor: isOneOf(["operator", "client", "broker"]),
    at: isInstant,
    client: orEmpty(isId),
    data_subject_commit: orNull(isHash),
    given: isGiven,
    reference: isReference,
    target: orEmpty(isId),
    target_kind: isOneOf(Object.values(ACTS)),
  },
  export: {
    acting_person: orNull(isKeyedHash),
    agreement: isCode,
    agreement_revision: isHash,
    at: isInstant,
    cell_count: orNull(isWithin(0n, 10n ** 9n)),
    client: isId,
    content_hash: orNull(isHash),
    format: orNull(isCode),
    job: orNull(isReference),
    plan_hash: orNull(isHash),
    reason: orNull(isCode),
    recipient: isId,
    reference: isReference,
    release: orNull(isCode),
    step: isOneOf(["requested", "released", "refused", "downloaded"]),
    suppressed_permille: orNull(isWithin(0n, 1000n)),
    table_hash: orNull(isHash),
  },
  log_read: {
    acting_person: orNull(isKeyedHash),
    agreement: orEmpty(isCode),
    agreement_revision: orEmpty(isHash),
    at: isInstant,
    client: orEmpty(isId),
    data_subject_commit: orNull(isHash),
    entry: orEmpty(isReference),
    legal_basis: isCode,
    period_begin: orEmpty(isInstant),
    period_end: orEmpty(isInstant),
    reader: isOneOf(["own", "operator", "auditor", "portal"]),
    recipient: orEmpty(isId),
    reference: isReference,
    what: isOneOf(["history", "evidence_file", "entry_count", "decision", "export"]),
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

// Kind → version of its schema, where it is not the first one.
const SCHEMAS = { export: 2n };

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
  checkShape(entry, KINDS[kind], SCHEMAS[kind] ?? 1n);
  if (Object.hasOwn(FITTING, kind) && !FITTING[kind](entry)) {
    throw new EvidenceInvalid("entry_schema", "members do not fit one another");
  }
  // Written again it must be the same letters: no white space, no member twice, no other order or spelling.
  if (canonicalText(entry) !== text) {
    throw new EvidenceInvalid("entry_not_canonical", "the RFC spells it in another way");
  }
  return entry;
}

function checkShape(entry, shape, version) {
  const names = ["kind", "schema", ...Object.keys(shape)];
  if (entry.size !== names.length || !names.every((name) => entry.has(name))) {
    throw new EvidenceInvalid("entry_schema", "members differ");
  }
  if (entry.get("schema") !== version) {
    throw new EvidenceInvalid("entry_schema", "schema is not known");
  }
  for (const [name, isOfForm] of Object.entries(shape)) {
    if (!isOfForm(entry.get(name))) {
      throw new EvidenceInvalid("entry_schema", `${name} is not of its form`);
    }
  }
}
