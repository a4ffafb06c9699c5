// Improves the console's pages, which work without it: figures that stay current, events as they happen, rows that say so
// when what they show has ended. Inserts text only, never markup.
"use strict";

// What happens, for every script of the console: `cloakroomLive.on((event) => …)` is called with each event of the audit
// log as it comes, `cloakroomLive.state(…)` with "open", "waiting" or "over". One connection for the page, and none while
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
    // The session that watches is over: nothing comes any more.
    source.addEventListener("ended", () => {
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
