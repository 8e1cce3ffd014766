"use strict";

// Renews the page when the inbox changes. Without this script everything works, after a reload.
const live = document.getElementById("live");
const stream = new EventSource(document.getElementById("inbox").dataset.stream);
let newest = 0;

async function renew() {
  const mine = ++newest;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("inbox");
  if (!answer.ok || !fresh || mine !== newest) return;
  const before = document.getElementById("inbox");
  if (before.innerHTML !== fresh.innerHTML) {
    const focused = document.activeElement.id;
    const unfolded = document.getElementById("settled")?.open;
    before.replaceWith(fresh);
    if (unfolded && document.getElementById("settled")) document.getElementById("settled").open = true;
    if (focused) document.getElementById(focused)?.focus();
  }
  live.textContent = "This page renews itself when something changes.";
}

stream.onmessage = () => renew().catch(() => {});
stream.onerror = () => {
  live.textContent = "Not connected just now; reload the page to see what is new.";
};
