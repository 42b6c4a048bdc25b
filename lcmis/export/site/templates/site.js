"use strict";
// Rows of a table that hold every word asked for, and the verdict.
for (const form of document.querySelectorAll("form.filter[data-rows]")) {
  const rows = [...document.querySelectorAll(form.dataset.rows)].map((row) => [row, row.textContent.toLowerCase()]);
  const show = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdict = form.elements.verdict.value;
    let count = 0;
    for (const [row, text] of rows) {
      row.hidden = !(words.every((word) => text.includes(word)) && (!verdict || row.dataset.verdict === verdict));
      count += !row.hidden;
    }
    form.querySelector("output").textContent = `${count} of ${rows.length}`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
}

// A picture at full size: arrows, Esc, 1 for its own pixels, m for the same seed of the next model.
const light = document.createElement("div");
light.id = "light";
light.hidden = true;
light.tabIndex = -1;
light.setAttribute("role", "dialog");
light.setAttribute("aria-modal", "true");
light.setAttribute("aria-label", "Picture");
const large = document.createElement("img"), said = document.createElement("p"), keys = document.createElement("p");
keys.textContent = "← → other pictures · 1 own pixels · m the same seed of the next model · Esc closes";
light.append(large, said, keys);
let at = null, from = null;
const links = () => [...document.querySelectorAll("a.zoom")].filter((one) => one.offsetParent !== null);
const open = (link) => {
  at = link;
  large.src = link.href;
  large.alt = link.querySelector("img").alt;
  said.textContent = large.alt;
  if (!light.isConnected) { from = link; document.body.append(light); light.hidden = false; light.style.display = ""; light.focus(); }
};
const close = () => { light.remove(); light.classList.remove("whole"); if (from) from.focus(); };
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.zoom");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); open(link); }
  else if (light.isConnected && event.target !== large) close();
});
document.addEventListener("keydown", (event) => {
  if (!light.isConnected) return;
  const every = links(), place = every.indexOf(at);
  if (event.key === "Escape") close();
  else if (event.key === "ArrowRight" || event.key === "ArrowLeft")
    open(every[(place + (event.key === "ArrowRight" ? 1 : -1) + every.length) % every.length]);
  else if (event.key === "1") light.classList.toggle("whole");
  else if (event.key === "m") {
    const mine = at.closest("figure").dataset;
    const same = every.filter((one) => one.closest("figure").dataset.seed === mine.seed && (one.closest("figure").dataset.pair || "") === (mine.pair || ""));
    open(same[(same.indexOf(at) + 1) % same.length]);
  } else if (event.key !== "Tab") return;
  event.preventDefault();
});
