// Improves pages that work without it: live times, confirmations, password advice. Inserts text only, never markup.
"use strict";

(() => {
  const all = (selector) => document.querySelectorAll(selector);

  // "3 minutes ago", kept current. The server wrote the first version.
  const UNITS = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  // The difference between the server's clock and this one, so that a wrong local clock shows no nonsense.
  const served = Date.parse(document.documentElement.dataset.now || "");
  const skew = Number.isNaN(served) ? 0 : served - Date.now();
  const now = () => Date.now() + skew;

  const span = (seconds) => {
    for (const [unit, size] of UNITS) {
      if (Math.abs(seconds) >= size) return [Math.trunc(seconds / size), unit];
    }
    return null;
  };
  const amount = (seconds) => {
    const found = span(seconds);
    if (!found) return "less than a minute";
    return `${found[0]} ${found[1]}${found[0] === 1 ? "" : "s"}`;
  };

  const tick = () => {
    for (const time of all("time[data-relative]")) {
      const found = span((Date.parse(time.dateTime) - now()) / 1000);
      time.textContent = found ? words.format(found[0], found[1]) : "just now";
    }
    for (const until of all("[data-until]")) {
      until.textContent = `in ${amount((Date.parse(until.dataset.until) - now()) / 1000)}`;
    }
  };

  if (document.querySelector("time[data-relative], [data-until]")) {
    tick();
    setInterval(tick, 15000);
  }

  // Before a session ends by itself, ask whoever is there. Looking never extends it; only "Stay signed in" does.
  const watchOver = (dialog) => {
    const part = (name) => document.getElementById(`still-there-${name}`);
    const absoluteAt = Date.parse(dialog.dataset.absoluteAt);
    const warn = Number(dialog.dataset.warnSeconds) * 1000;
    let endsAt = Date.parse(dialog.dataset.idleAt);
    let dismissed = false;
    let lookedAt = -Infinity;
    let spoken = "";

    const leave = (reason) => {
      const query = new URLSearchParams({ return_to: location.pathname + location.search });
      if (reason) query.set("ended", reason);
      location.assign(`/sign-in?${query}`);
    };
    // What the server says now: another tab may have been active, and somebody may have ended the session.
    const ask = async (address) => {
      lookedAt = Date.now();
      try {
        const answer = await fetch(address, { headers: { accept: "application/json" } });
        const body = await answer.json();
        if (answer.status === 401) leave(body.end_reason);
        if (!answer.ok) return;
        endsAt = Date.parse(body.session.idle_expires_at);
        for (const until of all("[data-until]")) until.dataset.until = body.session.idle_expires_at;
        tick();
      } catch {
        // Offline, or an answer from somewhere else: the next turn asks again.
      }
    };
    const isLast = () => endsAt >= absoluteAt;
    const show = (left) => {
      const seconds = Math.max(0, Math.ceil(left / 1000));
      part("left").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      // Read aloud now and then, not every second.
      const step = [60, 20].find((step) => seconds <= step && seconds > step - 3);
      if (step && spoken !== String(step)) part("spoken").textContent = `${step} seconds left.`;
      spoken = step ? String(step) : spoken;
      if (dialog.open) return;
      part("text").firstChild.textContent = isLast()
        ? "This session reaches its longest life in " : "For your safety you are signed out in ";
      part("text").lastChild.textContent = isLast() ? ". Finish what you are doing, then sign in again." : " unless you go on.";
      part("title").textContent = isLast() ? "This session ends soon" : "Are you still there?";
      part("stay").textContent = isLast() ? "I understand" : "Stay signed in";
      dialog.showModal();
    };
    const turn = async () => {
      let left = endsAt - now();
      if (left <= warn && Date.now() - lookedAt > 5000) {
        await ask("/v1/session?touch=false");
        left = endsAt - now();
      }
      if (left > warn) {
        if (dialog.open) dialog.close();
        dismissed = false;
      } else if (!dismissed) {
        show(left);
      }
      // A timer may sleep with its machine: it never waits longer than a quarter of a minute.
      setTimeout(turn, left > warn ? Math.min(left - warn + 50, 15000) : 1000);
    };
    part("stay").addEventListener("click", async () => {
      if (isLast()) dismissed = true;
      else await ask("/v1/session");
      dialog.close();
    });
    part("leave").addEventListener("click", () => document.getElementById("leave").requestSubmit());
    // Escape means "yes, I am here", too.
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); part("stay").click(); });
    turn();
  };
  const stillThere = document.getElementById("still-there");
  if (stillThere && stillThere.showModal) watchOver(stillThere);

  // A page that the browser kept may show what is no longer so: after sign-out, "back" asks the server again.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // A notice belongs to the moment after the action, not to the address.
  const address = new URL(location.href);
  if (address.searchParams.has("notice")) {
    address.searchParams.delete("notice");
    history.replaceState(null, "", address);
  }

  for (const button of all("button[data-reveal]")) {
    const input = document.getElementById(button.dataset.reveal);
    const label = document.querySelector(`label[for="${button.dataset.reveal}"]`);
    button.hidden = false;
    button.setAttribute("aria-label", `Show ${label.textContent.trim().toLowerCase()}`);
    button.addEventListener("click", () => {
      const show = input.type === "password";
      input.type = show ? "text" : "password";
      button.textContent = show ? "Hide" : "Show";
      button.setAttribute("aria-pressed", String(show));
      input.focus();
    });
    // Never submit a shown password as text: browsers would offer it again as an ordinary field.
    input.form.addEventListener("submit", () => { input.type = "password"; });
  }

  for (const input of all("input[data-advise]")) {
    const hint = document.querySelector(`[data-advice-for="${input.id}"]`);
    const advised = Number(input.dataset.advise);
    const least = Number(input.minLength);
    const original = hint.textContent;
    hint.setAttribute("aria-live", "polite");
    input.addEventListener("input", () => {
      const length = [...input.value].length;
      const missing = (count) => `${count} more character${count === 1 ? "" : "s"}`;
      if (length === 0) {
        hint.textContent = original;
        delete hint.dataset.strength;
      } else if (length < least) {
        hint.textContent = `Too short: ${missing(least - length)} at least.`;
        hint.dataset.strength = "short";
      } else if (length < advised) {
        hint.textContent = `Accepted. ${missing(advised - length)} would make it a good one.`;
        hint.dataset.strength = "enough";
      } else {
        hint.textContent = "A good length.";
        hint.dataset.strength = "fine";
      }
    });
  }

  const dialog = document.getElementById("confirm");
  for (const form of all("form[data-confirm]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.confirmed || !dialog.showModal) return;
      event.preventDefault();
      document.getElementById("confirm-title").textContent = form.dataset.confirm;
      document.getElementById("confirm-text").textContent = form.dataset.confirmText || "";
      dialog.returnValue = "";
      dialog.addEventListener("close", () => {
        if (dialog.returnValue !== "confirm") return;
        form.dataset.confirmed = "true";
        form.requestSubmit();
      }, { once: true });
      dialog.showModal();
    });
  }

  // Once is enough: a second click must not send a second request.
  for (const form of all("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) { event.preventDefault(); return; }
      form.dataset.sent = "true";
      for (const button of form.querySelectorAll("button[type=submit]")) button.setAttribute("aria-disabled", "true");
    });
  }

  const notice = document.querySelector(".notice.bad");
  if (notice && !document.querySelector("[autofocus]")) notice.focus();
})();
