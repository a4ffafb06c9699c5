// A room: lines come and go over a WebSocket. Code 1008 means that the session is over: the page says why and stops.
// Whatever else closes the socket is no sign-out: the page comes again, a little later each time.
"use strict";

const lines = document.querySelector("#lines");
const state = document.querySelector("#state");
const ended = document.querySelector("#ended");
const form = document.querySelector("#say");
const text = document.querySelector("#text");
const button = form.querySelector("button");

const POLICY_VIOLATION = 1008;
const LONGEST_WAIT = 10_000;
const REASONS = {
  signed_out: "You signed out.",
  revoked_by_user: "You were signed out everywhere.",
  revoked_by_admin: "An administrator signed you out.",
  idle_timeout: "You were signed out, since nothing was heard of you for a while.",
  absolute_timeout: "Your session was as long as sessions get.",
  session_limit: "You signed in on another device, so this one was signed out.",
  replaced: "You signed in again in another window.",
};

let socket;
let wait = 500;

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/talk/${lines.dataset.room}`);
  socket.onopen = () => {
    wait = 500;
    say_state("You are in.", false);
  };
  socket.onmessage = (event) => {
    const { who, text } = JSON.parse(event.data);
    const line = document.createElement("li");
    const name = document.createElement("b");
    name.textContent = who;
    line.append(name, " ", text);
    lines.append(line);
    line.scrollIntoView({ block: "end" });
  };
  socket.onclose = (event) => {
    if (event.code === POLICY_VIOLATION) {
      finish(event.reason.split(": ")[1]);
    } else {
      say_state("The line is cut. Trying again …", true);
      setTimeout(again, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  };
}

// A refused handshake does not say why: whether the session is over is asked by a request.
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
  connect();
}

function finish(reason) {
  say_state("You are out.", true);
  ended.replaceChildren(`${REASONS[reason] ?? "You were signed out."} `);
  const link = document.createElement("a");
  link.href = `/sign-in?return_to=${encodeURIComponent(location.pathname)}`;
  link.textContent = "Sign in again";
  ended.append(link);
  ended.hidden = false;
  link.focus();
}

function say_state(sentence, closed) {
  state.textContent = sentence;
  text.disabled = closed;
  button.disabled = closed;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState === WebSocket.OPEN && text.value.trim() !== "") {
    socket.send(text.value);
    text.value = "";
  }
  text.focus();
});

connect();
