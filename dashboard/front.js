// What pages do without asking the server; loaded before Streamlit's own script.
"use strict";

// Streamlit would look for itself below the page's address first, and find nothing there.
window.__streamlit = {BACKEND_BASE_URL: new URL(".", location.href).href};

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
    const told = button.querySelector("[role=status]") ?? button;
    const before = told.textContent;
    try {
        await navigator.clipboard.writeText(text);
        told.textContent = "copied";
    } catch {
        told.textContent = "this browser does not let pages copy";
    }
    setTimeout(() => { told.textContent = before; }, 2000);
});
