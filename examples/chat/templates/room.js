// A room: lines come and go over a WebSocket. Code 1008 means that the session is over: the page says why and stops.
// Whatever else closes the socket is no sign-out: the page comes again, a little later each time. Needs ended.js.
"use strict";

const lines = document.querySelector("#lines");
const state = document.querySelector("#state");
const form = document.querySelector("#say");
const text = document.querySelector("#text");
const button = form.querySelector("button");

const POLICY_VIOLATION = 1008;
const LONGEST_WAIT = 10_000;
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
      say_state("You are out.", true);
      finish(event.reason.split(": ")[1]);
    } else {
      say_state("The line is cut. Trying again …", true);
      // A refused handshake does not say why: whether the session is over is asked by a request.
      setTimeout(() => again(connect), wait);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  };
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
