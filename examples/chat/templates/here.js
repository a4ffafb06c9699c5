// Who is here, told by server-sent events. The event `session-ended` is the last one: without closing here, the browser
// would come again, and be refused.
"use strict";

const state = document.querySelector("#state");
const ended = document.querySelector("#ended");

function listen() {
  const events = new EventSource("/here/events");
  events.onopen = () => {
    state.textContent = "You see who comes and goes.";
  };
  events.onmessage = (event) => {
    const rooms = JSON.parse(event.data);
    for (const present of document.querySelectorAll("[data-room]")) {
      present.textContent = (rooms[present.dataset.room] ?? ["Nobody"]).join(", ");
    }
  };
  events.addEventListener("session-ended", () => {
    events.close();
    finish();
  });
  events.onerror = () => {
    state.textContent = "The line is cut. Trying again …";
    // An answer that is no stream is final for the browser: whether that is for good is asked by a request.
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(again, 2000);
    }
  };
}

async function again() {
  try {
    const answer = await fetch(location.href, { redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401) {
      finish();
      return;
    }
  } catch {
    // Nobody answers: the next try comes later.
  }
  listen();
}

function finish() {
  state.textContent = "You are out.";
  ended.replaceChildren("You were signed out. ");
  const link = document.createElement("a");
  link.href = "/sign-in?return_to=/here";
  link.textContent = "Sign in again";
  ended.append(link);
  ended.hidden = false;
  link.focus();
}

listen();
