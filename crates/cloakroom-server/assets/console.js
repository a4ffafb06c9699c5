// Improves the console's pages, which work without it: figures that stay current, events as they happen, rows that say so
// when what they show has ended. What it puts into a page is text, or a part that the server rendered and escaped.
"use strict";

// What happens, for every script of the console: `cloakroomLive.on((event) => …)` is called with each event of the audit
// log as it comes (with null where some are not told), `cloakroomLive.state(…)` with "open", "waiting" or "over". One connection for the page, and none while
// nobody looks at it: browsers allow a site few connections.
const cloakroomLive = (() => {
  const home = document.querySelector("[data-live]");
  const listeners = new Set();
  const watchers = new Set();
  let source = null;
  let after = home?.dataset.after || "";
  let failures = 0;
  let timer = 0;
  let state = "waiting";

  const say = (now) => {
    state = now;
    for (const watcher of watchers) watcher(state);
  };
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const retry = () => {
    close();
    say("waiting");
    // One second, two, four … thirty, and up to half as long again by chance: a server that comes back meets nobody at once.
    const pause = Math.min(30000, 1000 * 2 ** failures) * (1 + Math.random() / 2);
    failures += 1;
    timer = setTimeout(open, pause);
  };
  const open = () => {
    close();
    if (!home || document.hidden || !listeners.size || state === "over") return;
    const address = new URL(home.dataset.live, location.href);
    if (after) address.searchParams.set("after", after);
    source = new EventSource(address);
    source.addEventListener("open", () => {
      failures = 0;
      say("open");
    });
    source.addEventListener("message", (message) => {
      if (message.lastEventId) after = message.lastEventId;
      let event;
      try {
        event = JSON.parse(message.data);
      } catch {
        return;
      }
      for (const listener of listeners) listener(event);
    });
    // More happened than is told again: pages ask anew for what they show.
    source.addEventListener("missed", () => {
      for (const listener of listeners) listener(null);
    });
    // The session that watches is over: nothing comes any more.
    source.addEventListener("session-ended", () => {
      close();
      say("over");
    });
    source.addEventListener("error", retry);
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
      if (state !== "over") say("waiting");
    } else {
      failures = 0;
      open();
    }
  });
  addEventListener("pagehide", close);

  return {
    on(listener) {
      listeners.add(listener);
      if (!source) {
        clearTimeout(timer);
        timer = setTimeout(open, 0);
      }
      return () => listeners.delete(listener);
    },
    state(watcher) {
      watchers.add(watcher);
      watcher(state);
    },
  };
})();

// A part of a page as the server renders it, for a page that is open; null where there is none at the moment. Asking for it
// does not keep the session alive.
const cloakroomPart = async (address) => {
  try {
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    if (answer.status === 401) location.reload();
    if (!answer.ok || answer.redirected) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html").body;
  } catch {
    return null;
  }
};

// The overview's figures. Each part is replaced where it has changed, and not while somebody is in it: nothing jumps.
(() => {
  const home = document.querySelector("[data-refresh]");
  if (!home) return;
  const parts = (root) => new Map([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
  let asking = false;
  const refresh = async () => {
    if (document.hidden || asking) return;
    asking = true;
    const body = await cloakroomPart(home.dataset.refresh);
    asking = false;
    home.toggleAttribute("data-stale", !body);
    if (!body) return;
    const fresh = parts(body);
    for (const [name, part] of parts(home)) {
      const next = fresh.get(name);
      if (!next || next.outerHTML === (part.dataset.rendered ?? part.outerHTML) || part.contains(document.activeElement)) continue;
      const rendered = next.outerHTML;
      for (const [index, details] of [...part.querySelectorAll("details")].entries()) {
        const twin = next.querySelectorAll("details")[index];
        if (twin) twin.open = details.open;
      }
      const scrolled = part.querySelector(".scroll")?.scrollTop || 0;
      const adopted = document.importNode(next, true);
      adopted.dataset.rendered = rendered;
      part.replaceWith(adopted);
      const scroll = adopted.querySelector(".scroll");
      if (scroll) scroll.scrollTop = scrolled;
    }
  };
  setInterval(refresh, 1000 * Number(home.dataset.every));
  document.addEventListener("visibilitychange", refresh);
})();

// Charts: what a slot holds, where the pointer is.
(() => {
  const LEFT = 44 / 460;
  const RIGHT = 1 - 18 / 460;
  const words = (chart, slot) => {
    const row = chart.querySelector(`tr[data-slot="${slot}"]`);
    if (!row) return null;
    const heads = [...chart.querySelectorAll("thead th")].map((head) => head.textContent);
    const cells = [...row.children].map((cell) => cell.textContent);
    return cells[0] + ": " + cells.slice(1).map((cell, index) => [cell, heads[index + 1].toLowerCase()])
      .filter(([cell]) => cell !== "0").map((pair) => pair.join(" ")).join(", ");
  };
  const restore = (chart) => {
    const sum = chart.querySelector("figcaption p");
    if (sum.dataset.sum !== undefined) sum.textContent = sum.dataset.sum;
    delete sum.dataset.sum;
  };
  document.addEventListener("pointermove", (event) => {
    const plot = event.target.closest?.(".plot");
    for (const sum of document.querySelectorAll("figcaption p[data-sum]")) {
      if (!plot || !plot.parentElement.contains(sum)) restore(sum.closest(".chart"));
    }
    if (!plot) return;
    const chart = plot.closest(".chart");
    const box = plot.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width - LEFT) / (RIGHT - LEFT);
    const said = place >= 0 && place < 1 && words(chart, Math.floor(place * Number(chart.dataset.slots)));
    if (!said) return restore(chart);
    const sum = chart.querySelector("figcaption p");
    if (sum.dataset.sum === undefined) sum.dataset.sum = sum.textContent;
    sum.textContent = said;
  });
})();

// Live: rows that come by themselves, at most one request a second, and a spoken word now and then.
(() => {
  const list = document.querySelector("[data-live-list]");
  const state = document.querySelector("[data-live-state]");
  if (!list || !state) return;
  const pause = document.querySelector("[data-live-pause]");
  const spoken = document.querySelector("[data-live-spoken]");
  const none = document.querySelector("[data-live-none]");
  const most = Number(list.dataset.most);
  let after = Number(list.dataset.after);
  let waiting = 0;
  let unspoken = 0;
  let paused = false;
  let timer = 0;
  let link = "waiting";

  const show = () => {
    const words = state.querySelector("[data-live-words]");
    state.dataset.liveState = paused ? "paused" : link;
    if (link === "over") words.textContent = "Your session ended";
    else if (paused) words.textContent = waiting ? `Paused, ${waiting} more` : "Paused";
    else words.textContent = link === "open" ? "Live" : "Reconnecting…";
  };
  const fetchRows = async () => {
    timer = 0;
    if (paused) return;
    const address = new URL(list.dataset.liveList, location.href);
    address.searchParams.set("part", "rows");
    address.searchParams.set("after", after);
    waiting = 0;
    const rows = (await cloakroomPart(address))?.querySelector("ol");
    if (!rows) {
      timer = setTimeout(fetchRows, 5000);
      return;
    }
    after = Number(rows.dataset.after);
    const fresh = [...rows.children].map((row) => document.importNode(row, true));
    if (rows.dataset.skipped !== "0") {
      const gap = document.createElement("li");
      gap.className = "entry-gap";
      gap.textContent = `${rows.dataset.skipped} events between are in the audit log`;
      fresh.push(gap);
    }
    for (const row of fresh) row.classList.add("fresh");
    list.prepend(...fresh);
    while (list.children.length > most) list.lastElementChild.remove();
    none.hidden = list.children.length > 0;
    unspoken += fresh.length;
    show();
  };
  const soon = () => {
    if (!timer && !paused) timer = setTimeout(fetchRows, 1000);
  };

  document.querySelector("[data-live-reload]").hidden = true;
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.querySelector("[data-live-pause-words]").textContent = paused ? "Go on" : "Pause";
    pause.querySelector('[data-when="running"]').hidden = paused;
    pause.querySelector('[data-when="paused"]').hidden = !paused;
    if (!paused) fetchRows();
    show();
  });
  // Who cannot see the list is told how much came, four times a minute at most.
  setInterval(() => {
    if (unspoken) spoken.textContent = `${unspoken} new event${unspoken === 1 ? "" : "s"}`;
    unspoken = 0;
  }, 15000);
  cloakroomLive.on(() => {
    waiting += 1;
    if (paused) show();
    soon();
  });
  cloakroomLive.state((now) => {
    // After a gap: what came meanwhile.
    if (now === "open" && link !== "open") soon();
    link = now;
    show();
  });
})();
