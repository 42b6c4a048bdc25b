// The full picture over any page: arrows, 1:1, the same seed of another model, what was said of it,
// and a word of one's own. Nothing of what people or models wrote is ever read as HTML.

const PICTURE = /\/(?:thumbnail|picture)\/([0-9a-f]{64}|k[0-9]+:[0-9a-f]{32})\.webp(?:#(.*))?$/;
const SMALL = 320; // pixels of the longer side of a small copy
const KEYS = [
  ["← →", "the picture before, after"],
  ["m", "the same seed by the next model"],
  ["1", "one pixel of the picture on one of the screen, or the whole picture"],
  ["b", "what a detector found"],
  ["s", "star"],
  ["c", "comment"],
  ["t", "tag"],
  ["i", "what was said, beside the picture or not"],
  ["?", "these keys"],
  ["Esc", "back to the page"],
];
const NAME = "lcmis-rater";

let items = [];
let place = 0;
let shown = null; // the picture on the screen, which may be another model's than the one on the page
let told = null;
let boxes = true;
let asked = 0; // answers that come late belong to no picture on the screen

// ── small things ─────────────────────────────────────────────────────────────────────────────────

function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function rater() {
  try {
    return localStorage.getItem(NAME) || "";
  } catch {
    return "";
  }
}

function remember(name) {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // A browser that keeps nothing asks again on the next page.
  }
}

function pictureOf(element) {
  if (element.dataset.picture !== undefined) {
    return { key: element.dataset.picture, sha: element.dataset.sha || "", from: element };
  }
  const found = PICTURE.exec(element.src || "");
  if (!found) return null;
  const key = found[1].startsWith("k") ? found[1] : decodeURIComponent(found[2] || "");
  return { key, sha: found[1], from: element.closest("a.lcmis-shot") || element };
}

const SOURCES = '[data-picture], img[src*="/thumbnail/"], img[src*="/picture/"]';

function sourceOf(target) {
  const around = target.closest && target.closest("a.lcmis-shot, .lcmis-card");
  const source = around ? (around.dataset.picture !== undefined ? around : around.querySelector("img")) : target.closest && target.closest(SOURCES);
  return source && !source.closest("dialog, [data-no-lightbox]") && pictureOf(source) ? source : null;
}

function onPage() {
  const found = new Map();
  for (const element of document.querySelectorAll(`[data-testid=stMain] :is(${SOURCES})`)) {
    if (element.closest("dialog, [data-no-lightbox]") || element.querySelector("[data-picture]")) continue;
    if (element.tagName === "IMG" && element.closest("[data-picture]")) continue;
    const picture = pictureOf(element);
    const name = picture && (picture.key || picture.sha);
    if (name && !found.has(name)) found.set(name, picture);
  }
  return [...found.values()];
}

// While pictures are labelled, what checkers said of them would be half of the answer.
function blind() {
  return Boolean(document.querySelector("[data-lcmis-blind]"));
}

function judgedBy() {
  const judge = document.querySelector("[data-lcmis-judge]");
  const query = new URLSearchParams(judge ? judge.dataset.lcmisJudge : "");
  const pair = new URLSearchParams(location.search).get("pair");
  if (pair) query.set("pair", pair);
  return query;
}

async function fetched(address, body) {
  const settings = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(address, settings);
  } catch {
    return { sentence: "The dashboard does not answer: look whether it still runs in its terminal." };
  }
  try {
    return await answer.json();
  } catch {
    return { sentence: "The dashboard made a mistake: its terminal has the details." };
  }
}

// ── the frame ────────────────────────────────────────────────────────────────────────────────────

let dialog = null;
const part = {};

function built() {
  if (dialog && dialog.isConnected) return;
  part.picture = made("img", { alt: "" });
  part.boxes = made("div", { class: "lcmis-boxes" });
  part.frame = made("div", { class: "lcmis-frame" }, part.picture, part.boxes);
  part.instead = made("p", { class: "lcmis-instead" });
  part.stage = made("div", { class: "lcmis-stage", tabindex: "0", role: "group", "aria-label": "Picture" }, part.frame, part.instead);
  part.place = made("span", { class: "lcmis-place", role: "status" });
  const button = (name, label, act, extra = {}) => {
    part[name] = made("button", { type: "button", "aria-label": label, title: label, onclick: act, ...extra });
    return part[name];
  };
  button("before", "The picture before (←)", () => step(-1)).textContent = "←";
  button("after", "The picture after (→)", () => step(1)).textContent = "→";
  button("model", "The same seed by the next model (m)", nextModel).textContent = "same seed";
  button("exact", "One to one, or the whole picture (1)", exact, { "aria-pressed": "false" }).textContent = "1:1";
  button("found", "What a detector found (b)", toggleBoxes, { "aria-pressed": "true" }).textContent = "boxes";
  button("aside", "What was said (i)", toggleSaid, { "aria-pressed": "true" }).textContent = "said";
  button("keys", "Keys (?)", toggleKeys, { "aria-expanded": "false" }).textContent = "?";
  button("close", "Close (Esc)", () => dialog.close()).textContent = "×";
  part.bar = made("div", { class: "lcmis-bar", role: "toolbar", "aria-label": "Picture" },
    part.before, part.place, part.after, part.model, part.exact, part.found, part.aside, part.keys, part.close);
  part.legend = made("dl", { class: "lcmis-keys", hidden: true });
  for (const [key, what] of KEYS) part.legend.append(made("dt", {}, key), made("dd", {}, what));
  part.said = made("aside", { class: "lcmis-said", "aria-label": "What was said of it", tabindex: "0" });
  dialog = made("dialog", { class: "lcmis-lightbox", "aria-label": "Picture in full", onclose: closed },
    part.bar, part.legend, part.stage, part.said);
  dialog.addEventListener("click", (event) => {
    if (event.target === part.stage && !dialog.classList.contains("lcmis-exact")) dialog.close();
  });
  part.picture.addEventListener("load", fitted);
  part.picture.addEventListener("error", () => {
    if (shown && shown.sha) instead("The file of this picture is missing or damaged: restore it from a copy of the store.");
  });
  addEventListener("resize", fitted);
  document.body.append(dialog);
}

function instead(sentence) {
  part.frame.hidden = true;
  part.instead.hidden = false;
  part.instead.textContent = sentence;
}

function fitted() {
  const { naturalWidth: width, naturalHeight: height } = part.picture;
  if (!width || !dialog.open) return;
  const dense = window.devicePixelRatio || 1;
  const whole = Math.min(part.stage.clientWidth / width, part.stage.clientHeight / height);
  const scale = dialog.classList.contains("lcmis-exact") ? 1 / dense : whole;
  part.frame.style.width = `${width * scale}px`;
  part.frame.style.height = `${height * scale}px`;
  // Far enlarged, a small picture is shown as the squares that it is, not as a blur.
  part.picture.style.imageRendering = scale * dense > 3 ? "pixelated" : "auto";
}

// ── going from picture to picture ────────────────────────────────────────────────────────────────

function open(source) {
  built();
  items = onPage();
  const wanted = pictureOf(source);
  place = Math.max(0, items.findIndex((one) => (one.key || one.sha) === (wanted.key || wanted.sha)));
  if (!items.length) items = [wanted];
  if (!dialog.open) dialog.showModal();
  show(items[place]);
  part.stage.focus();
}

function closed() {
  shown = told = null;
  const back = items[place] && items[place].from;
  if (back && back.isConnected) back.focus();
}

function step(by) {
  const next = place + by;
  if (next < 0 || next >= items.length) return;
  place = next;
  show(items[place]);
}

function ahead(by) {
  const one = items[place + by];
  if (one && one.sha) new Image().src = `/picture/${one.sha}.webp`;
}

async function show(item) {
  shown = item;
  told = null;
  part.frame.hidden = false;
  part.instead.hidden = true;
  part.boxes.replaceChildren();
  part.place.textContent = `${place + 1} of ${items.length}`;
  part.before.disabled = place === 0;
  part.after.disabled = place === items.length - 1;
  part.model.disabled = true;
  part.found.hidden = true;
  const source = item.from;
  part.picture.alt = (source && (source.alt || source.getAttribute("aria-label"))) || "Picture";
  if (item.sha) {
    part.picture.src = `/picture/${item.sha}.webp`;
    if (part.picture.complete) fitted();
  } else instead("There is no picture: the model refused to paint it.");
  ahead(1);
  ahead(-1);
  dialog.classList.toggle("lcmis-blind", blind());
  part.said.replaceChildren(made("p", {}, item.key ? "…" : "Nothing more is known of this picture here."));
  if (item.key && !blind()) await tell(fetched(`/said/${encodeURIComponent(item.key)}?${judgedBy()}`));
}

async function tell(promise) {
  const number = ++asked;
  const answer = await promise;
  if (number !== asked || !dialog.open) return;
  if (answer.sentence) complain(answer.sentence);
  if (!answer.key) return;
  told = answer;
  draw();
}

function complain(sentence) {
  const old = part.said.querySelector("[role=alert]");
  if (old) old.remove();
  part.said.prepend(made("p", { role: "alert", class: "lcmis-trouble" }, sentence));
}

function nextModel() {
  if (!told || told.same_seed.length < 2) return;
  const at = told.same_seed.findIndex((one) => one.key === told.key);
  const next = told.same_seed[(at + 1) % told.same_seed.length];
  show({ key: next.key, sha: next.sha256, from: items[place].from });
}

function exact() {
  const now = dialog.classList.toggle("lcmis-exact");
  part.exact.setAttribute("aria-pressed", now);
  fitted();
}

function toggleBoxes() {
  boxes = !boxes;
  part.found.setAttribute("aria-pressed", boxes);
  drawBoxes();
}

function toggleSaid() {
  const away = dialog.classList.toggle("lcmis-alone");
  part.aside.setAttribute("aria-pressed", !away);
  fitted();
}

function toggleKeys() {
  part.legend.hidden = !part.legend.hidden;
  part.keys.setAttribute("aria-expanded", !part.legend.hidden);
  fitted();
}

// ── what was said ────────────────────────────────────────────────────────────────────────────────

function draw() {
  const focused = document.activeElement && document.activeElement.dataset.act;
  part.picture.alt = told.alt;
  if (told.fault) instead(told.fault);
  part.model.disabled = told.same_seed.length < 2;
  part.found.hidden = !told.boxes.length;
  drawBoxes();
  part.said.replaceChildren(
    made("h2", {}, told.prompt),
    made("p", { class: "lcmis-about" }, `${told.model}, seed ${told.seed}, ${told.size}`),
    told.verdict ? made("p", {}, made("strong", { class: "lcmis-verdict" }, told.verdict), told.how ? ` ${told.how}` : "") : null,
    ...(told.may_write ? [whoever()] : []),
    ...told.questions.map(question),
    words(),
    answers(),
    made("p", { class: "lcmis-links" }, ...told.links.flatMap((link) => [made("a", { href: link.address, "data-leave": true }, link.words), " "])),
  );
  const again = focused && part.said.querySelector(`[data-act="${CSS.escape(focused)}"]`);
  if (again) again.focus();
  marked(told);
}

function drawBoxes() {
  part.boxes.replaceChildren();
  if (!boxes || !told) return;
  for (const box of told.boxes) {
    const frame = made("div", { class: box.sure ? "lcmis-box" : "lcmis-box lcmis-unsure" });
    frame.style.left = `${100 * box.left}%`;
    frame.style.top = `${100 * box.top}%`;
    frame.style.width = `${100 * (box.right - box.left)}%`;
    frame.style.height = `${100 * (box.bottom - box.top)}%`;
    frame.style.borderColor = box.colour;
    const label = made("span", {}, box.label);
    label.style.background = box.colour;
    if (box.top > 0.85) label.classList.add("lcmis-low");
    if (box.left > 0.6) label.classList.add("lcmis-right");
    frame.append(label);
    part.boxes.append(frame);
  }
}

function whoever() {
  const name = rater();
  const field = made("input", { type: "text", maxlength: "60", value: name, "aria-label": "Your name", placeholder: "Your name or initials", "data-act": "name" });
  const form = made("form", { class: "lcmis-who", hidden: Boolean(name), onsubmit: (event) => {
    event.preventDefault();
    remember(field.value.trim());
    part.stage.focus();
    draw();
  } }, field, made("button", { type: "submit" }, "This is me"));
  if (!name) return form;
  const line = made("p", { class: "lcmis-who" }, "You are ", made("strong", {}, name), " ",
    made("button", { type: "button", class: "lcmis-link", "data-act": "change", onclick: () => {
      form.hidden = false;
      line.hidden = true;
      field.focus();
      field.select();
    } }, "somebody else?"));
  const both = made("div", {}, line, form);
  return both;
}

function named() {
  if (rater()) return true;
  complain("Write your name first: it is kept with every word.");
  const field = part.said.querySelector('[data-act="name"]');
  if (field) field.focus();
  return false;
}

function say(word) {
  if (!told || !told.may_write || !named()) return;
  return tell(fetched(`/word/${encodeURIComponent(told.key)}?${judgedBy()}`, { ...word, rater: rater() }));
}

function question(one) {
  const mine = one.labels.find((label) => label.rater === rater());
  const row = made("div", { class: "lcmis-question", role: "group", "aria-label": one.words });
  row.append(made("p", {}, one.words, one.checker ? made("span", { class: "lcmis-checker" }, ` ${one.checker}`) : ""));
  if (told.may_write) {
    row.append(...one.answers.map((answer) => {
      const chosen = Boolean(mine) && mine.answer === answer.value;
      return made("button", {
        type: "button",
        "aria-pressed": String(chosen),
        class: answer.wrong ? "lcmis-answer lcmis-wrong" : "lcmis-answer",
        "data-act": `${one.key} ${answer.value}`,
        onclick: () => say({ what: "label", question: one.key, answer: chosen ? "withdrawn" : answer.value }),
      }, answer.words);
    }));
  }
  if (one.labels.length) row.append(made("p", { class: "lcmis-labels" }, one.labels.map((label) => `${label.rater}: ${label.words}`).join(" · ")));
  return row;
}

function words() {
  const box = made("div", { class: "lcmis-words" });
  const starred = told.stars.includes(rater()) && rater() !== "";
  if (told.may_write) {
    box.append(made("button", { type: "button", "aria-pressed": String(starred), "data-act": "star", title: "Star (s)",
      onclick: () => say({ what: starred ? "unstar" : "star" }) }, starred ? "★ starred" : "☆ star"));
  }
  if (told.stars.length) box.append(made("span", {}, ` ★ ${told.stars.join(", ")}`));
  const tags = made("p", { class: "lcmis-tags" });
  for (const tag of told.tags) {
    tags.append(made("span", { class: "lcmis-tag" }, tag.text, told.may_write ? made("button", { type: "button", "aria-label": `Take away the tag ${tag.text}`, "data-act": `tag ${tag.text}`,
      onclick: () => say({ what: "withdraw", note: tag.keys }) }, "×") : null));
  }
  if (told.may_write) {
    const field = made("input", { type: "text", maxlength: "40", "aria-label": "Tag", placeholder: "tag (t)", "data-act": "tag", list: "lcmis-tags" });
    const known = made("datalist", { id: "lcmis-tags" }, ...told.known_tags.map((tag) => made("option", { value: tag })));
    tags.append(made("form", { onsubmit: async (event) => {
      event.preventDefault();
      if (field.value.trim()) await say({ what: "tag", text: field.value });
    } }, field, known));
  }
  box.append(tags);
  if (told.num_comments > told.comments.length) box.append(made("p", { class: "lcmis-about" }, `The newest ${told.comments.length} of ${told.num_comments.toLocaleString("en")} comments.`));
  for (const one of told.comments) {
    box.append(made("div", { class: "lcmis-comment" },
      made("p", { class: "lcmis-about" }, `${one.rater}, ${one.at} `, told.may_write ? made("button", { type: "button", class: "lcmis-link", "aria-label": `Take back the comment of ${one.rater}`, "data-act": `back ${one.key}`, onclick: () => say({ what: "withdraw", note: [one.key] }) }, "take back") : null),
      made("p", { class: "lcmis-text" }, one.text)));
  }
  if (told.may_write) {
    const field = made("textarea", { rows: "2", maxlength: "4000", "aria-label": "Comment", placeholder: "comment (c); Ctrl+Enter keeps it", "data-act": "comment" });
    const send = async () => {
      if (!field.value.trim()) return;
      const text = field.value;
      await say({ what: "comment", text });
      // What could not be kept stays in the field.
      const now = part.said.querySelector('[data-act="comment"]');
      if (now && part.said.querySelector("[role=alert]") && !now.value) now.value = text;
    };
    box.append(made("form", { onsubmit: (event) => { event.preventDefault(); send(); } }, field, made("button", { type: "submit" }, "Keep")));
  }
  return box;
}

function answers() {
  if (!told.answers.length) return made("p", { class: "lcmis-about" }, "No checker has looked at it yet.");
  const table = made("table", {}, made("caption", {}, "Every answer"));
  for (const one of told.answers) {
    table.append(made("tr", {}, made("th", { scope: "row" }, one.checker), made("td", {}, one.question), made("td", {}, one.answer), made("td", {}, one.score)));
  }
  return made("details", {}, made("summary", {}, "What the checkers answered"), table);
}

// What was said shows on the page's own picture at once; filters take it in when the page is drawn
// the next time.
function marked(one) {
  const card = document.querySelector(`[data-picture="${CSS.escape(one.key)}"]`);
  const marks = card && card.querySelector(".lcmis-marks");
  if (marks) marks.textContent = one.marks;
}

// ── keys and clicks ──────────────────────────────────────────────────────────────────────────────

function typing(target) {
  return target && target.closest && target.closest("input, textarea, select, [contenteditable=true]");
}

function focusOn(act) {
  const field = part.said.querySelector(`[data-act="${act}"]`);
  if (!field) return;
  if (dialog.classList.contains("lcmis-alone")) toggleSaid();
  field.focus();
}

const ACTS = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), k: () => step(-1), j: () => step(1), Home: () => step(-place),
  End: () => step(items.length - 1 - place), m: nextModel, 1: exact, b: toggleBoxes, i: toggleSaid, "?": toggleKeys,
  s: () => { const star = part.said.querySelector('[data-act="star"]'); if (star) star.click(); },
  c: () => focusOn("comment"), t: () => focusOn("tag"),
};

function pressed(event) {
  if (!dialog || !dialog.open) {
    const source = (event.key === "Enter" || event.key === " ") && sourceOf(event.target);
    if (source && event.target.tagName === "IMG" && !event.defaultPrevented) {
      event.preventDefault();
      event.stopPropagation();
      open(source);
    }
    return;
  }
  // Keys of the page behind answer questions: none of them may hear what is meant for the picture.
  event.stopImmediatePropagation();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form) {
    event.preventDefault();
    event.target.form.requestSubmit();
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing(event.target)) {
    if (event.key === "Escape") {
      event.preventDefault();
      part.stage.focus();
    }
    return;
  }
  const act = ACTS[event.key];
  if (!act) return;
  if (event.target.closest("button, a, summary") && (event.key === "Enter" || event.key === " ")) return;
  event.preventDefault();
  act();
}

function clicked(event) {
  if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const source = sourceOf(event.target);
  if (!source || event.target.closest("a[href]:not(.lcmis-shot), input, select, textarea, label")) return;
  if (source.closest("[data-lcmis-answering]")) return;
  event.preventDefault();
  event.stopPropagation();
  open(source);
}

// A picture that Streamlit drew is no button yet: it is reached by Tab and read as what it does.
function reachable() {
  for (const image of document.querySelectorAll('[data-testid=stMain] img:not([tabindex]):not([data-picture] img)')) {
    if (!PICTURE.test(image.src) || image.closest("dialog, [data-no-lightbox], a")) continue;
    image.tabIndex = 0;
    image.setAttribute("role", "button");
    image.classList.add("lcmis-opens");
  }
}

// ── a grid ───────────────────────────────────────────────────────────────────────────────────────

const SIDE = "lcmis-side";

function side() {
  try {
    return Number(localStorage.getItem(SIDE)) || 0;
  } catch {
    return 0;
  }
}

// No picture is ever stretched: where a small copy has too few pixels, the picture itself comes.
function sized() {
  for (const grid of document.querySelectorAll(".lcmis-grid:not([data-sized])")) {
    grid.dataset.sized = "yes";
    resized(grid, side() || Number(grid.dataset.side));
  }
}

function resized(grid, wide) {
  const slider = document.querySelector("[data-lcmis-size]");
  if (slider) slider.value = wide;
  const two = Math.max(80, (grid.clientWidth - 10) / 2); // on a phone at least two stand side by side
  grid.style.setProperty("--side", `${Math.min(wide, grid.clientWidth < 500 && wide < 300 ? two : wide)}px`);
  grid.classList.toggle("lcmis-bare", wide < 120);
  for (const image of grid.querySelectorAll("img[data-name]")) {
    const pixels = (image.clientWidth || wide) * (window.devicePixelRatio || 1);
    const address = `/${pixels > SMALL ? "picture" : "thumbnail"}/${image.dataset.name}.webp`;
    if (!image.src.endsWith(address)) image.src = address;
  }
}

addEventListener("input", (event) => {
  if (!event.target.matches("[data-lcmis-size]")) return;
  const wide = Number(event.target.value);
  for (const grid of document.querySelectorAll(".lcmis-grid")) resized(grid, wide);
  try {
    localStorage.setItem(SIDE, wide);
  } catch {
    // A browser that keeps nothing begins anew on the next page.
  }
});

// ── answering a whole grid ───────────────────────────────────────────────────────────────────────

const TURN = { yes: "no", no: "unsure", unsure: "yes" };
const TOLD = { yes: "yes", no: "no", unsure: "cannot tell" };

function answering(target) {
  const card = target.closest && target.closest("[data-lcmis-answering] .lcmis-card");
  return card && { card, grid: card.closest("[data-lcmis-answering]") };
}

function answer(card, what) {
  card.dataset.answer = what;
  card.querySelector(".lcmis-marks").textContent = TOLD[what];
  counted();
}

function unanswered(grid) {
  return [...grid.querySelectorAll(".lcmis-card:not([data-answer])")];
}

function counted() {
  const grid = document.querySelector("[data-lcmis-answering]");
  const button = document.querySelector("[data-lcmis-keep]");
  if (!grid || !button || button.dataset.busy) return;
  const given = grid.querySelectorAll(".lcmis-card[data-answer]").length;
  const words = given === 0 ? "No answers yet" : given === 1 ? "Keep this answer" : `Keep these ${given} answers`;
  if (button.textContent !== words) button.textContent = words;
  button.disabled = given === 0;
  const rest = unanswered(grid).length === 0;
  for (const one of document.querySelectorAll("[data-lcmis-rest]")) one.disabled = rest;
}

async function keepAnswers(button) {
  const grid = document.querySelector("[data-lcmis-answering]");
  const line = document.querySelector("[data-lcmis-told]");
  if (!grid || button.disabled) return;
  const answers = {};
  for (const card of grid.querySelectorAll(".lcmis-card[data-answer]")) answers[card.dataset.picture] = card.dataset.answer;
  button.disabled = true;
  button.dataset.busy = "yes";
  line.textContent = "…";
  const found = await fetched("/answers", { question: grid.dataset.lcmisAnswering, rater: grid.dataset.rater, answers });
  delete button.dataset.busy;
  counted();
  if (found.sentence) {
    line.textContent = found.sentence;
    return;
  }
  line.textContent = `kept ${found.kept}`;
  const next = document.querySelector(".st-key-many-next button");
  if (next) next.click();
}

addEventListener("click", (event) => {
  const button = event.target.closest && event.target.closest("[data-lcmis-keep]");
  if (button) keepAnswers(button);
  const here = answering(event.target);
  if (here) answer(here.card, TURN[here.card.dataset.answer] || "yes");
  const rest = event.target.closest && event.target.closest("[data-lcmis-rest]");
  const grid = rest && document.querySelector("[data-lcmis-answering]");
  if (grid) for (const card of unanswered(grid)) answer(card, rest.dataset.lcmisRest);
});

addEventListener("keydown", (event) => {
  const here = answering(event.target);
  const what = { y: "yes", n: "no", u: "unsure" }[event.key];
  if (!here || !what || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  answer(here.card, what);
  const cards = [...here.grid.querySelectorAll(".lcmis-card")];
  const next = cards[cards.indexOf(here.card) + 1] || document.querySelector("[data-lcmis-keep]");
  if (next) next.focus();
});

if (!window.lcmisLightbox) {
  window.lcmisLightbox = { open, fetched, rater, remember };
  document.head.append(made("link", { rel: "stylesheet", href: new URL("lightbox.css", import.meta.url).href }));
  addEventListener("keydown", pressed, true);
  addEventListener("click", clicked, true);
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; reachable(); sized(); counted(); });
  }).observe(document.body, { childList: true, subtree: true });
  reachable();
  sized();
  counted();
}
