// Members of entries that must fit one another (_check_… in broker/evidence/*_entry.py).

// Kind → whether members fit one another, where their forms alone do not say it.
const FITTING = {
  policy_change: fitsPolicy,
  administration: fitsAct,
  export: fitsStep,
  log_read: fitsLook,
  erasure: fitsErasure,
};

function fitsPolicy(entry) {
  const event = entry.get("event");
  const isOtherRevision = entry.get("old_revision") !== entry.get("new_revision");
  const areOtherRegisters = entry.get("old_registers") !== entry.get("new_registers");
  if (event === "published") return isOtherRevision;
  return !isOtherRevision && (event === "registers_changed") === areOtherRegisters;
}

function fitsAct(entry) {
  const kind = ACTS[entry.get("act")];
  const isAboutOne = ["citizen", "consent", "complaint"].includes(kind);
  const hasCommitment = !isNull(entry.get("data_subject_commit"));
  return (
    entry.get("target_kind") === kind &&
    (entry.get("target") === "") === (kind === "citizen") &&
    (hasCommitment ? isAboutOne || kind === "notice" : !isAboutOne) &&
    (entry.get("client") !== "") === (entry.get("actor") === "client")
  );
}

function fitsStep(entry) {
  const has = (name) => !isNull(entry.get(name));
  const step = entry.get("step");
  const told = ["content_hash", "table_hash", "cell_count", "suppressed_permille"].map(has);
  const isAsked = ["job", "release", "plan_hash", "format"].every(has);
  if (!isAsked && (step !== "refused" || has("job"))) return false;
  if (has("plan_hash") && !has("release")) return false;
  if (!(step === "released" || step === "downloaded" ? told.every(Boolean) : !told.some(Boolean))) return false;
  return has("reason") === (step === "refused");
}

function fitsLook(entry) {
  const [what, begin, end] = [entry.get("what"), entry.get("period_begin"), entry.get("period_end")];
  const [isOwn, isPortal] = [entry.get("reader") === "own", entry.get("reader") === "portal"];
  const hasActing = !isNull(entry.get("acting_person"));
  if (isOwn && (hasActing || isNull(entry.get("data_subject_commit")))) return false;
  if (!isOwn && hasActing === isPortal) return false;
  const told = ["client", "recipient", "agreement", "agreement_revision"].map((name) => entry.get(name) !== "");
  if (isPortal ? !told.every(Boolean) : told.some(Boolean)) return false;
  if (isPortal && what !== "history") return false;
  if (isOwn && what !== "history" && what !== "evidence_file") return false;
  if ((what === "decision" || what === "evidence_file") !== (entry.get("entry") !== "")) return false;
  // Instants of one spelling: their order is that of the texts.
  const hasPeriod = begin !== "" && begin < end;
  return (what === "export" || what === "entry_count") === hasPeriod && (begin === "") === (end === "");
}

function fitsErasure(entry) {
  return (entry.get("result") === "kept") === (entry.get("kept_until") !== "");
}
