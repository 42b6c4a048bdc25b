// What pages do without asking the server; loaded before Streamlit's own script.
"use strict";

// Streamlit would look for itself below the page's address first, and find nothing there.
window.__streamlit = {BACKEND_BASE_URL: new URL(".", location.href).href};

// ── fields ──────────────────────────────────────────────────────────────────────────────────────

// Enter ends writing: what is struck after it is meant for the page, not for the field.
document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (event.key !== "Enter" || event.isComposing || !(field instanceof HTMLInputElement)) return;
    if (field.closest("[data-testid=stTextInput], [data-testid=stSelectbox]"))
        setTimeout(() => field.blur(), 0);
});

// ── what keys do ────────────────────────────────────────────────────────────────────────────────

// Streamlit takes letters and digits alone for a button's key.
document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.target.closest?.("input, textarea, [contenteditable=true]")) return;
    if (document.querySelector("dialog[open]")) return; // it lists keys of its own
    document.querySelector(".st-key-keys button")?.click();
});

// ── a divider between two pictures that lie on each other ───────────────────────────────────────

document.addEventListener("input", (event) => {
    const divider = event.target.closest?.(".lcmis-divider");
    if (divider) divider.style.setProperty("--at", `${event.target.value}%`);
});

// ── copying ─────────────────────────────────────────────────────────────────────────────────────

document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-lcmis-copy]");
    if (!button) return;
    const text = button.dataset.lcmisCopy || location.href;
    const told = button.querySelector("[aria-live]") ?? button;
    const before = told.textContent;
    try {
        await navigator.clipboard.writeText(text);
        told.textContent = "copied";
    } catch {
        told.textContent = "this browser does not let pages copy";
    }
    setTimeout(() => { told.textContent = before; }, 2000);
});
