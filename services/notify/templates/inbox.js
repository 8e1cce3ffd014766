"use strict";

// Updates the page when the inbox changes. Without this script everything works, after a reload.
const live = document.getElementById("live");
const asOf = document.getElementById("as-of");
const stream = new EventSource(document.getElementById("inbox").dataset.stream);
const MISSED_PINGS = 2.5; // two are missing, and the third is half a period late
const patience = MISSED_PINGS * asOf.dataset.pingSeconds * 1000;
let newest = 0;
let confirmedAt = Date.now();
let isCurrent = false; // whether the page shows what the stream sent last

function confirm() {
  isCurrent = true;
  confirmedAt = Date.now();
  asOf.textContent = "As of " + timeText(new Date());
  show("This page updates automatically.", false);
}

function timeText(moment) {
  const style = { dateStyle: "medium", timeStyle: "short" };
  try {
    return moment.toLocaleString("en-GB", { ...style, timeZone: asOf.dataset.zone });
  } catch {
    return moment.toLocaleString("en-GB", style);
  }
}

function show(text, isStale) {
  live.classList.toggle("stale", isStale);
  if (live.textContent !== text) live.textContent = text; // screen readers announce every change
}

function warnIfStale() {
  if (Date.now() - confirmedAt < patience) return;
  isCurrent = false;
  show("This page may be out of date: it has had no answer for a while. Reload it before you rely on it.", true);
}

async function update() {
  const request = ++newest;
  isCurrent = false;
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
  confirm();
}

stream.onmessage = () => update().catch(() => {});
stream.addEventListener("ping", () => (isCurrent ? confirm() : update().catch(() => {})));
stream.onerror = () => {
  isCurrent = false;
  show("Not connected. Reload the page to see updates.", true);
};
setInterval(warnIfStale, 1000);
