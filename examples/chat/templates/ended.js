// What both pages do when the session is over.
"use strict";

const REASONS = {
  signed_out: "You signed out.",
  revoked_by_user: "You were signed out everywhere.",
  revoked_by_admin: "An administrator signed you out.",
  idle_timeout: "You were signed out, since nothing was heard of you for a while.",
  absolute_timeout: "Your session was as long as sessions get.",
  session_limit: "You signed in on another device, so this one was signed out.",
  replaced: "You signed in again in another window.",
};

// Says why, and where to go on.
function finish(reason) {
  const ended = document.querySelector("#ended");
  document.querySelector("#state").textContent = "You are out.";
  document.querySelector("header nav").hidden = true;
  const link = document.createElement("a");
  link.href = `/sign-in?return_to=${encodeURIComponent(location.pathname)}`;
  link.textContent = "Sign in again";
  ended.replaceChildren(`${REASONS[reason] ?? "You were signed out."} `, link);
  ended.hidden = false;
  link.focus();
}

// Is the session over, or is only the line cut? If it is not over, or nobody answers, `come_again`.
async function again(come_again) {
  try {
    const answer = await fetch(location.href, { redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401) {
      finish();
      return;
    }
  } catch {
    // Nobody answers: the next try comes later.
  }
  come_again();
}
