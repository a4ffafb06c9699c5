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
      const left = (Date.parse(until.dataset.until) - now()) / 1000;
      if (left > 0) until.textContent = `in ${amount(left)}`;
      else ended(until);
    }
  };

  // The idle instant has passed as far as this page knows; another tab may have been active. Ask, without extending.
  let asking = false;
  const ended = async (until) => {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch("/v1/session?touch=false", { headers: { accept: "application/json" } });
      if (answer.status === 401) location.assign("/sign-in?return_to=" + encodeURIComponent(location.pathname));
      if (answer.ok) until.dataset.until = (await answer.json()).session.idle_expires_at;
    } catch {
      // Offline: the next tick asks again.
    } finally {
      asking = false;
    }
  };

  if (document.querySelector("time[data-relative], [data-until]")) {
    tick();
    setInterval(tick, 15000);
  }

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
