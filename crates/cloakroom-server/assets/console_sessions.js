// Improves the pages of sessions and people, which work without it: results while one types, a count of what is chosen, and
// news of what ended meanwhile. What it puts into a page is the server's own page, or text.
(() => {
  "use strict";

  // Asks for a page of ours and gives the part of it with this id; `null` where there is none. One that asks for news, not
  // for somebody, keeps nobody's session alive.
  const part = async (address, id, signal) => {
    const answer = await fetch(address, { headers: { accept: "text/html" }, signal, redirect: "manual" });
    // Signed out, or no longer allowed: the page itself says so best.
    if (!answer.ok) {
      location.reload();
      return null;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return document.adoptNode(page.getElementById(id));
  };

  const asLive = (address) => {
    const live = new URL(address, location.href);
    live.searchParams.set("part", "live");
    live.searchParams.delete("notice");
    return live;
  };

  // A place whose text is read out when it changes.
  const voice = document.createElement("p");
  voice.className = "visually-hidden";
  voice.setAttribute("role", "status");
  document.getElementById("main")?.append(voice);

  // The focus, by what it is on, for when that is drawn anew.
  const focusIn = (place) => {
    const at = document.activeElement;
    if (!place.contains(at)) return () => {};
    const row = at.closest("[data-session]")?.dataset.session;
    const mark = at.dataset.test;
    return (now) => {
      const home = (row && now.querySelector(`[data-session="${CSS.escape(row)}"]`)) || now;
      (mark && home.querySelector(`[data-test="${CSS.escape(mark)}"]`))?.focus();
    };
  };

  // Once, and then no more often than every `pause` milliseconds.
  const calmly = (pause, work) => {
    let timer = 0;
    let last = -Infinity;
    return () => {
      if (timer) return;
      const wait = Math.max(200, last + pause - performance.now());
      timer = setTimeout(() => {
        timer = 0;
        last = performance.now();
        work();
      }, wait);
    };
  };

  // What is chosen in the list, and how many.
  const chosen = new Set();
  const boxes = () => [...document.querySelectorAll("#selection input[name=s]")];
  const count = () => {
    const bar = document.querySelector(".selection-bar");
    if (!bar) return;
    const all = boxes();
    const picked = all.filter((box) => box.checked);
    chosen.clear();
    for (const box of picked) chosen.add(box.value);
    bar.querySelector(".pick-all").hidden = all.length === 0;
    const every = document.getElementById("pick-all");
    every.checked = picked.length > 0 && picked.length === all.length;
    every.indeterminate = picked.length > 0 && picked.length < all.length;
    const words = picked.length === 0 ? "None chosen" : `${picked.length} of ${all.length} chosen`;
    const output = document.getElementById("picked");
    if (output.textContent !== words) output.textContent = words;
    bar.querySelector("[data-test=end-picked]").hidden = picked.length === 0;
  };
  document.addEventListener("change", (event) => {
    if (event.target.id === "pick-all") {
      for (const box of boxes()) box.checked = event.target.checked;
    }
    if (event.target.closest("#selection")) count();
  });
  // A browser that shows the page again may have kept the boxes as they were.
  addEventListener("pageshow", count);

  const show = (results) => {
    const old = document.getElementById("results");
    if (!old || !results) return;
    const refocus = focusIn(old);
    for (const box of results.querySelectorAll("input[name=s]")) box.checked = chosen.has(box.value);
    const summary = results.querySelector("[data-test=summary]").textContent.trim();
    old.replaceWith(results);
    refocus(results);
    count();
    voice.textContent = summary;
  };

  // The list follows what is typed. A newer question makes an older one pointless.
  const search = document.getElementById("search");
  let asking = null;
  const ask = async (live) => {
    asking?.abort();
    const mine = (asking = new AbortController());
    const address = new URL(search.action);
    if (live) {
      // The same place in the list, not what somebody is about to type.
      address.search = location.search;
    } else {
      for (const [name, value] of new FormData(search)) {
        if (value.trim()) address.searchParams.set(name, value.trim());
      }
      history.replaceState(history.state, "", address);
    }
    const results = document.getElementById("results");
    results.setAttribute("aria-busy", "true");
    const wanted = live ? asLive(address) : new URL(address);
    if (!live) wanted.searchParams.set("part", "results");
    try {
      show(await part(wanted, "results", mine.signal));
    } catch (error) {
      if (error.name === "AbortError") return;
      results.removeAttribute("aria-busy");
      voice.textContent = "The list could not be renewed.";
    }
  };
  if (search) {
    let timer = 0;
    const soon = (pause) => {
      clearTimeout(timer);
      timer = setTimeout(() => ask(false), pause);
    };
    search.addEventListener("input", (event) => soon(event.target.matches("input") ? 250 : 0));
    search.addEventListener("submit", (event) => {
      event.preventDefault();
      soon(0);
    });
  }

  // Typing a password means that one.
  for (const input of document.querySelectorAll("input[data-chooses]")) {
    const radio = input.form.querySelector(`input[type=radio][value="${input.dataset.chooses}"]`);
    input.addEventListener("input", () => {
      if (input.value) radio.checked = true;
    });
  }

  // News.
  const ENDS = new Set(["session_revoked", "session_logout", "session_expired"]);
  // Whoever looks is signed out: the page itself says why, unless they are on their way out.
  let leaving = false;
  addEventListener("beforeunload", () => { leaving = true; });
  cloakroomLive.state((state) => {
    if (state === "over" && !leaving) location.reload();
  });

  // An act that ends sessions without naming them one by one.
  const endsMany = (event) =>
    event.event === "authz_admin" &&
    event.detail?.phase === "done" &&
    ["all", "issued_before"].includes(event.detail?.selection);

  // A row stays where it is and says that what it shows has ended: nothing moves under anybody's finger.
  const markEnded = (row, reason) => {
    if (row.dataset.alive !== "true") return;
    row.dataset.alive = "false";
    row.classList.add("gone");
    const state = row.querySelector(".state");
    if (state) {
      state.className = "state plain";
      state.textContent = reason ? `Ended: ${reason.replaceAll("_", " ")}` : "Ended";
    }
    row.querySelector("input[name=s]")?.remove();
    row.querySelector("[data-test=end-one]")?.remove();
    voice.textContent = "A session of this list has ended.";
  };

  const list = document.getElementById("results");
  if (list && search) {
    const again = calmly(2000, () => ask(true));
    let began = false;
    cloakroomLive.on((event) => {
      // Some were not told: nobody knows what they were.
      if (!event || endsMany(event)) again();
      if (!event?.session) return;
      if (ENDS.has(event.event)) {
        for (const row of document.querySelectorAll(`tr[data-session="${CSS.escape(event.session)}"]`)) {
          markEnded(row, event.reason);
        }
        count();
      }
      // Those that began are told of, not pushed in. Further pages are about what was there before.
      const results = document.getElementById("results");
      const first = !new URL(location.href).searchParams.has("cursor");
      if (event.event === "session_created" && first && !results.querySelector(".meanwhile")) {
        const line = document.createElement("p");
        line.className = "meanwhile";
        line.dataset.test = "meanwhile";
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = "Look again";
        button.addEventListener("click", () => ask(true));
        line.append("Sessions began meanwhile. ", button);
        results.querySelector("[data-test=summary]").after(line);
      }
    });
  }

  // The page of a session or a person is drawn anew when something happens to them. That somebody looked is no such thing:
  // this is a look, too.
  // What has not changed stays as it is, under whatever is pointing at it. Times change by themselves.
  const essence = (node) => {
    const copy = node.cloneNode(true);
    for (const time of copy.querySelectorAll("time")) time.textContent = "";
    return copy.outerHTML;
  };
  const redraw = (old, now) => {
    const parts = (root) => [...root.querySelectorAll(":scope > header, section")];
    const [before, after] = [parts(old), parts(now)];
    if (before.length !== after.length) {
      old.replaceWith(now);
      return;
    }
    before.forEach((part, index) => {
      if (essence(part) !== essence(after[index])) part.replaceWith(after[index]);
    });
  };
  const renewed = document.querySelector(".renewed[id]");
  if (renewed) {
    const { id } = renewed;
    const { session, principal } = renewed.dataset;
    const concerns = (event) => {
      if (!event || endsMany(event)) return true;
      if (event.event === "sensitive_read") return false;
      return session ? event.session === session : event.principal === principal;
    };
    const again = calmly(1000, async () => {
      try {
        const now = await part(asLive(location.href), id);
        if (!now) return;
        const old = document.getElementById(id);
        if (old.dataset.alive === "true" && now.dataset.alive === "false") voice.textContent = "This session has ended.";
        old.dataset.alive = now.dataset.alive;
        const refocus = focusIn(old);
        redraw(old, now);
        refocus(document.getElementById(id));
      } catch {
        // Offline: the next event asks again.
      }
    });
    cloakroomLive.on((event) => {
      if (concerns(event)) again();
    });
  }

  count();
})();
