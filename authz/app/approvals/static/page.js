// Keeps a page up to date: counts down, and shows anew what has changed. Everything works without it.
"use strict";

const live = document.getElementById("live");
const news = document.getElementById("news");
const title = document.title;

function left(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor((whole % 86400) / 3600))} h`;
}

function count() {
  for (const one of document.querySelectorAll("[data-expires]")) {
    one.textContent = left(Number(one.dataset.expires) - Date.now() / 1000);
  }
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (answer.redirected || !answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
  if (!fresh || fresh.dataset.state === live.dataset.state) return;
  live.dataset.state = fresh.dataset.state;
  // A request's own page keeps its arguments and a comment being written; only how it stands changes.
  live.replaceChildren(...fresh.childNodes);
  if (live.dataset.one) {
    news.textContent = "The state of this request has changed. ";
    const again = document.createElement("a");
    again.href = location.pathname;
    again.textContent = "Load it again";
    news.append(again);
  } else {
    news.textContent = `The list has changed: ${fresh.dataset.waiting} pending.`;
  }
  count();
}

function listen() {
  const since = live.dataset.one ? "" : live.dataset.state;
  const events = new EventSource(`/events?since=${encodeURIComponent(since)}`);
  events.addEventListener("change", (event) => {
    document.title = Number(event.data) ? `(${event.data}) ${title}` : title;
    refresh();
  });
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 15000);
  });
  addEventListener("pagehide", () => events.close());
}

count();
setInterval(count, 1000);
listen();
