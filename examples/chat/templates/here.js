// Who is here, told by server-sent events. The event `session-ended` is the last one: without closing here, the browser
// would come again, and be refused. Needs ended.js.
"use strict";

const state = document.querySelector("#state");

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
  events.addEventListener("session-ended", (event) => {
    events.close();
    finish(event.data);
  });
  events.onerror = () => {
    state.textContent = "The line is cut. Trying again …";
    // An answer that is no stream is final for the browser: whether that is for good is asked by a request.
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(() => again(listen), 2000);
    }
  };
}

listen();
