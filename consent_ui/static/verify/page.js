// The page around the checks: what somebody hands over, and what came of it. All of it stays in this browser.
//
// Each <section class="verify"> of a page is one tool in one language. data-words: its sentences, by key.
// data-file: the evidence file that the page brings along, or "" where one is chosen. Elements are named by
// data-part. Where this module does not run, what stands in data-part="unusable" says how else to check.

class Tool {
  constructor(root) {
    this.root = root;
    this.words = JSON.parse(root.dataset.words);
    this.chosen = null;
    this.turn = 0;
    this.part("unusable").hidden = true;
    this.part("form").hidden = false;
    // No form: there is nothing that could be sent, and nowhere to send it.
    this.part("check").addEventListener("click", () => this.check(true));
    this.part("identifier")?.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.check(true);
    });
    this.part("file")?.addEventListener("change", () => {
      this.chosen = null;
      this.check(true);
    });
    if (this.part("file")) {
      this.takeWhatIsDropped();
    } else {
      this.check(false);
    }
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  // Return the sentence of a key, with what stands in braces filled in.
  say(key, values = {}) {
    return this.words[key].replace(/\{([a-z_]+)\}/g, (_, name) => values[name]);
  }

  takeWhatIsDropped() {
    for (const kind of ["dragover", "drop"]) {
      this.root.addEventListener(kind, (event) => event.preventDefault());
    }
    this.root.addEventListener("drop", (event) => {
      const [file] = event.dataTransfer.files;
      if (file) {
        this.part("file").value = "";
        this.chosen = file;
        this.check(true);
      }
    });
  }

  // Check what lies here, and show it. isAsked: somebody pressed or chose; then the result is gone to.
  async check(isAsked) {
    this.turn += 1;
    const turn = this.turn;
    this.show([paragraph(this.say("checking"))]);
    let shown;
    try {
      shown = await this.found();
    } catch (fault) {
      // A file that cannot be read any more, or a browser that cannot do what this page needs.
      shown = this.refused("not_read", String(fault?.name ?? fault));
    }
    if (turn !== this.turn) {
      return; // something newer is being checked
    }
    this.show(shown);
    this.root.dataset.turn = turn;
    if (isAsked) {
      this.part("result").querySelector("h2").focus();
    }
  }

  async found() {
    const file = this.chosen ?? this.part("file")?.files[0];
    if (!file && !this.root.dataset.file) {
      return this.refused("no_file");
    }
    if (file && file.size > FILE_BYTES_MAX) {
      return this.refused("unreadable", this.say("reason_file_malformed"));
    }
    const content = file ? await bytesOf(file) : ENCODER.encode(this.root.dataset.file);
    const [payload] = this.part("payload").files;
    const found = await checkedFile(content, {
      keys: this.part("keys").value,
      identifier: this.part("identifier")?.value ?? "",
      payload: payload ? await bytesOf(payload) : null,
    });
    if (!found.isReadable) {
      return found.isSupported
        ? this.refused("unreadable", `${this.say(`reason_${found.reason}`)} (${found.detail})`)
        : this.refused("unsupported", this.say("unsupported_told"));
    }
    return this.told(found);
  }

  refused(key, told = "") {
    this.root.dataset.verdict = key;
    return [heading(this.say(key)), ...(told ? [paragraph(told)] : [])];
  }

  // Return the elements that say what was found. Of what does not hold nothing is repeated.
  told(found) {
    const isProven = found.holds;
    let verdict = found.hasOwnKeys ? "verified" : "agrees";
    if (!isProven) verdict = found.isSupported ? "not_proven" : "unsupported";
    if (found.checks.some((one) => one.result === "fails")) verdict = "not_proven";
    this.root.dataset.verdict = verdict;
    const shown = [heading(this.say(verdict)), paragraph(this.say(`${verdict}_told`))];
    if (isProven) shown.push(this.facts(found));
    shown.push(this.checks(found));
    return shown;
  }

  checks(found) {
    return rows(
      found.checks.map((one) => {
        const isLacking = one.result === "not_checked" && !found.isSupported && NEEDS_SIGNATURES.has(one.name);
        let key = `holds_${one.name}`;
        if (one.result === "fails") key = `reason_${one.reason}`;
        if (one.result === "not_checked") key = isLacking ? "unsupported_told" : `none_${one.name}`;
        const words = [strong(this.say(`result_${one.result}`)), ` ${this.say(key)}`];
        const row = [this.say(`check_${one.name}`), words];
        return { row, data: { check: one.name, result: one.result, reason: one.reason ?? "" } };
      }),
    );
  }

  facts(found) {
    const { entry, checkpoint } = found;
    const who = entry.get("recipient") || entry.get("actor") || entry.get("reader");
    const outcome = entry.get("result");
    const facts = [
      ["fact_kind", this.say(`kind_${entry.get("kind")}`)],
      ["fact_at", this.instant(Date.parse(entry.get("at")))],
      ["fact_who", who],
      ["fact_result", outcome && this.say(`outcome_${outcome}`)],
      ["fact_reason", entry.get("reason")],
      ["fact_reference", entry.get("reference")],
      ["fact_log", checkpoint.origin],
      ["fact_place", this.say("place", { index: `${found.leafIndex}`, size: `${checkpoint.treeSize}` })],
      ["fact_leaf", found.leaf],
      ["fact_root", hexOf(checkpoint.rootHash)],
      ...found.witnesses.map((one) => [
        "fact_witness",
        this.say("witness", { name: one.name, at: this.instant(Number(one.atSeconds) * 1000) }),
      ]),
    ];
    return rows(facts.filter(([, fact]) => fact).map(([key, fact]) => ({ row: [this.say(key), [fact]], data: { fact: key } })));
  }

  // Return an instant as clocks and calendars in Viet Nam show it; as a number where no calendar has it.
  instant(milliseconds) {
    const asked = { dateStyle: "short", timeStyle: "medium", timeZone: "Asia/Ho_Chi_Minh" };
    const language = { vi: "vi-VN", en: "en-GB" }[this.root.lang];
    const at = new Date(milliseconds);
    return Number.isNaN(at.valueOf()) ? `${milliseconds}` : at.toLocaleString(language, asked);
  }

  show(elements) {
    this.part("result").replaceChildren(...elements);
  }
}

// What says nothing where signatures cannot be checked.
const NEEDS_SIGNATURES = new Set(["log_signature", "witnesses", "inclusion"]);

async function bytesOf(file) {
  return new Uint8Array(await file.arrayBuffer());
}

// Elements are made, never written as HTML: whatever a file holds stays text.
function element(name, classes, children, data = {}) {
  const made = document.createElement(name);
  made.className = classes;
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

function heading(text) {
  const made = element("h2", "govuk-heading-m", [text]);
  made.tabIndex = -1;
  return made;
}

function paragraph(text) {
  return element("p", "govuk-body", [text]);
}

function strong(text) {
  return element("strong", "", [text]);
}

function rows(told) {
  return element(
    "dl",
    "govuk-summary-list",
    told.map(({ row: [name, value], data }) =>
      element(
        "div",
        "govuk-summary-list__row",
        [element("dt", "govuk-summary-list__key", [name]), element("dd", "govuk-summary-list__value", value)],
        data,
      ),
    ),
  );
}

// On the page that is kept both languages stand one below the other; with this module one of them is shown.
function showOneLanguage(roots) {
  const wanted = location.hash === "#en" ? "en" : "vi";
  for (const root of roots) root.hidden = root.lang !== wanted;
  document.documentElement.lang = wanted;
}

const tools = [...document.querySelectorAll("section.verify")];
tools.forEach((root) => new Tool(root));
if (tools.length > 1) {
  showOneLanguage(tools);
  addEventListener("hashchange", () => showOneLanguage(tools));
}
