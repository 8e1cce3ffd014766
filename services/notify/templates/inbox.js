"use strict";

// Updates the page when the inbox changes. Without this script everything works, after a reload.
const live = document.getElementById("live");
const stream = new EventSource(document.getElementById("inbox").dataset.stream);
let newest = 0;

async function update() {
  const request = ++newest;
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("inbox");
  if (!response.ok || !fresh || request !== newest) return;
  const before = document.getElementById("inbox");
  if (before.innerHTML !== fresh.innerHTML) {
    const focused = document.activeElement.id;
    const wasOpen = document.getElementById("closed")?.open;
    before.replaceWith(fresh);
    if (wasOpen && document.getElementById("closed")) document.getElementById("closed").open = true;
    if (focused) document.getElementById(focused)?.focus();
  }
  live.textContent = "This page updates automatically.";
}

stream.onmessage = () => update().catch(() => {});
stream.onerror = () => {
  live.textContent = "Not connected. Reload the page to see updates.";
};
