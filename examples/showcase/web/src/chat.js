// The chat: rooms, who is in them, who is typing, and what was said before.

import { face, make, open } from "./page.js";

const HISTORY = 100;
const TYPING = 4000; // milliseconds that a mark is shown, unless it is renewed
const RENEW = 2000;
const SAME_BREATH = 120; // seconds within which lines of one person stand together

const $ = (id) => document.getElementById(id);
const { hub, me } = open("chat");
const lines = $("lines");
const text = $("text");
const typists = new Map(); // client -> { name, timer }
const sent = new Map(); // nonce -> the line that waits for the server
let room = null;
let marks = null;
let lastMark = -Infinity;
let last = null; // the newest line, to put the next one under it

// --- rooms

function known() {
  const kept = JSON.parse(localStorage.getItem("rooms") ?? "[]");
  return [...new Set(["lobby", "weaving", "music", ...kept, current()])];
}

function current() {
  return decodeURIComponent(location.hash.slice(1)) || "lobby";
}

function showRooms() {
  const links = known().map((name) => {
    const link = make("a", { href: `#${encodeURIComponent(name)}` }, name);
    if (name === current()) link.setAttribute("aria-current", "true");
    return link;
  });
  $("rooms").replaceChildren(...links);
}

function enter(name) {
  room?.leave();
  marks?.leave();
  for (const { timer } of typists.values()) clearTimeout(timer);
  typists.clear();
  sent.clear();
  last = null;
  lines.replaceChildren();
  $("topic").textContent = name;
  text.placeholder = `Say something in ${name}`;
  document.title = `${name} · treadle`;
  showRooms();
  showTyping();
  room = hub.join(`chat:${name}`, {
    history: HISTORY,
    onMessage: hear,
    onJoined: showMembers,
    onPresence({ event, member }) {
      if (event === "leave") typing(member.client, null);
      showMembers();
    },
    onGap: () => note("Some lines are missing here: they are older than what the server keeps."),
    onRefused: (error) => note(`This room cannot be opened: ${error.reason}.`),
  });
  marks = hub.join(`typing:${name}`, {
    onMessage: ({ sender, data }) => typing(sender, data.on ? data.name : null),
  });
}

addEventListener("hashchange", () => enter(current()));
$("open-room").onsubmit = (event) => {
  event.preventDefault();
  const name = $("room-name").value.trim().toLowerCase();
  $("room-name").value = "";
  if (!name) return;
  const kept = JSON.parse(localStorage.getItem("rooms") ?? "[]");
  localStorage.setItem("rooms", JSON.stringify([...new Set([...kept, name])]));
  location.hash = encodeURIComponent(name);
};

// --- who is here

function showMembers() {
  const members = [...room.members.values()].sort((a, b) => a.info.name.localeCompare(b.info.name));
  const items = members.map(({ client, info }) =>
    make("li", {}, face(info), client === hub.client ? `${info.name} (you)` : info.name),
  );
  $("members").replaceChildren(...items);
  $("faces").replaceChildren(...members.slice(0, 6).map(({ info }) => face(info)));
}

function typing(client, name) {
  clearTimeout(typists.get(client)?.timer);
  typists.delete(client);
  if (name) {
    const timer = setTimeout(() => typing(client, null), TYPING);
    typists.set(client, { name, timer });
  }
  showTyping();
}

function showTyping() {
  const names = [...typists.values()].map(({ name }) => name);
  const verb = names.length === 1 ? "is" : "are";
  const who = names.length > 3 ? "Several people" : names.join(names.length === 2 ? " and " : ", ");
  $("typing").textContent = names.length ? `${who} ${verb} typing…` : "";
}

function mark(on) {
  const now = performance.now();
  if (on && now - lastMark < RENEW) return;
  if (!on && lastMark === -Infinity) return;
  lastMark = on ? now : -Infinity;
  marks.publish(on, { volatile: true }).catch(() => {});
}

// --- what is said

function hear({ sender, data }) {
  typing(sender, null);
  const mine = sender === hub.client;
  const waiting = mine && sent.get(data.nonce);
  if (waiting) {
    sent.delete(data.nonce);
    waiting.remove();
    last = lastLine();
  }
  show({ ...data, sender, mine });
}

/** A line under those that the server has, but over those that still wait. */
function show({ sender, name, colour, text: words, at, mine, waiting }) {
  const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 80;
  const first = !last || last.dataset.sender !== sender || at - last.dataset.at > SAME_BREATH;
  const time = new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const line = make(
    "li",
    { className: "line", dataset: { sender, at } },
    face({ name, colour }),
    make("span", { className: "who" }, make("b", {}, name), make("time", {}, time)),
    make("span", { className: "bubble" }, words),
  );
  line.classList.toggle("first", first);
  line.classList.toggle("mine", mine);
  line.classList.toggle("waiting", Boolean(waiting));
  lines.insertBefore(line, waiting ? null : lines.querySelector(".waiting"));
  if (!waiting) last = line;
  if (atEnd || mine) lines.scrollTop = lines.scrollHeight;
  return line;
}

function lastLine() {
  return [...lines.querySelectorAll(".line:not(.waiting, .failed)")].at(-1) ?? null;
}

function note(words) {
  lines.insertBefore(make("li", { className: "note" }, words), lines.querySelector(".waiting"));
}

$("say").onsubmit = async (event) => {
  event.preventDefault();
  const words = text.value.trim();
  if (!words) return;
  text.value = "";
  mark(false);
  const nonce = crypto.getRandomValues(new Uint32Array(3)).join("");
  const line = show({ ...me, sender: hub.client, text: words, at: Date.now() / 1000, mine: true, waiting: true });
  sent.set(nonce, line);
  try {
    await room.publish({ text: words, nonce });
  } catch (error) {
    sent.delete(nonce);
    line.classList.replace("waiting", "failed");
    line.title = error.reason;
  }
};

text.oninput = () => mark(text.value !== "");

enter(current());
if (matchMedia("(pointer: fine)").matches) text.focus({ preventScroll: true }); // no keyboard on a phone yet
