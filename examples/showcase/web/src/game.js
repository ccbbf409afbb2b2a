// The game. The server sends thirty states a second; the page draws what was between two of them.
//
// States do not come evenly, so the page shows the past: `DELAY` behind the newest, where there is
// nearly always a state before and one after, and each craft is drawn on the line between the two.

import { make, open } from "./page.js";

const TICK = 1000 / 30;
const DELAY = 100; // milliseconds
const KEPT = 30; // states
const SIZE = 1400; // of the world; see world.py
const CRAFT = 24;
const VIEW = 1300; // what of the world the longer side of the window shows, at most
const SEND = 50; // milliseconds between two wishes, at least
const REMIND = 1000; // and at most
const KEYS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  KeyA: [-1, 0], KeyD: [1, 0], KeyW: [0, -1], KeyS: [0, 1],
};

const $ = (id) => document.getElementById(id);
const canvas = $("field");
const brush = canvas.getContext("2d");
const game = decodeURIComponent(location.hash.slice(1)) || "field";
const { hub } = open("game", { rate: 30 });
addEventListener("hashchange", () => location.reload());

// --- what comes

let states = []; // oldest first
let lead = Infinity; // what our clock shows when the server's is at tick 0, at the quickest way
let bursts = []; // where sparks went out

const room = hub.join(`game:${game}`, {
  onMessage({ data }) {
    if (states.length && data.tick <= states.at(-1).tick) restart(); // another server runs it
    const came = performance.now() - data.tick * TICK;
    lead = Math.min(lead + 0.05, came); // clocks drift apart: it may grow again, slowly
    if (came - lead > 1000) lead = came; // the server stood still
    states.push(data);
    if (states.length > KEPT) states.shift();
  },
  onJoined: restart,
});

function restart() {
  states = [];
  lead = Infinity;
  wish.changed = true;
}

/** What is to be drawn now: crafts by client, and sparks by name. */
function between() {
  const tick = (performance.now() - lead - DELAY) / TICK;
  let after = states.findIndex((state) => state.tick >= tick);
  if (after < 0) after = states.length - 1;
  const next = states[after];
  const before = states[Math.max(0, after - 1)];
  const part = next === before ? 1 : Math.min(1, Math.max(0, (tick - before.tick) / (next.tick - before.tick)));
  const was = new Map(before.crafts.map((craft) => [craft[0], craft]));
  const crafts = new Map();
  for (const [client, x, y, score] of next.crafts) {
    const [, fromX, fromY] = was.get(client) ?? [client, x, y];
    crafts.set(client, { x: fromX + (x - fromX) * part, y: fromY + (y - fromY) * part, score });
  }
  return { crafts, sparks: new Map(next.sparks.map(([name, x, y]) => [name, { x, y }])) };
}

// --- what the player wants

const held = new Set();
const wish = { dx: 0, dy: 0, changed: true, sent: -Infinity };
let pointer = null;
let moved = false;

function want(dx, dy) {
  if (dx === wish.dx && dy === wish.dy) return;
  Object.assign(wish, { dx, dy, changed: true });
  if (!moved) $("hint").classList.add("done");
  moved = true;
}

function wantByKeys() {
  let [dx, dy] = [0, 0];
  for (const key of held) {
    dx += KEYS[key][0];
    dy += KEYS[key][1];
  }
  want(Math.sign(dx), Math.sign(dy));
}

/** A pointer that is held down pulls the craft towards it. */
function wantByPointer() {
  const mine = view.crafts.get(hub.client);
  if (!pointer || !mine) return;
  const dx = (pointer.x - camera.x) / camera.scale - mine.x;
  const dy = (pointer.y - camera.y) / camera.scale - mine.y;
  const length = Math.max(60, Math.hypot(dx, dy)); // gently, when it is near
  want(+(dx / length).toFixed(2), +(dy / length).toFixed(2));
}

addEventListener("keydown", (event) => {
  if (!(event.code in KEYS) || event.target.matches("input")) return;
  event.preventDefault();
  held.add(event.code);
  wantByKeys();
});
addEventListener("keyup", (event) => {
  if (held.delete(event.code)) wantByKeys();
});
addEventListener("blur", () => {
  held.clear();
  want(0, 0);
});
canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  canvas.onpointermove(event, true);
};
canvas.onpointermove = (event, down = pointer !== null) => {
  const frame = canvas.getBoundingClientRect();
  if (down) pointer = { x: event.clientX - frame.left, y: event.clientY - frame.top };
};
canvas.onpointerup = canvas.onpointercancel = () => {
  pointer = null;
  want(0, 0);
};

setInterval(async () => {
  wantByPointer();
  const now = performance.now();
  if (!wish.changed && now - wish.sent < REMIND) return;
  Object.assign(wish, { changed: false, sent: now });
  try {
    // what cannot be sent now is of no use later: then, the player wants something else
    const answer = await room.publish({ dx: wish.dx, dy: wish.dy }, { volatile: true });
    if (answer === null) wish.changed = true;
  } catch {
    wish.changed = true;
  }
}, SEND);

// --- what is drawn

const camera = { x: 0, y: 0, scale: 1 };
let view = { crafts: new Map(), sparks: new Map() };

function resize() {
  const { clientWidth, clientHeight } = canvas;
  canvas.width = clientWidth * devicePixelRatio;
  canvas.height = clientHeight * devicePixelRatio;
}

/** Keep the player's craft in the middle, but no more outside of the walls than there must be. */
function aim() {
  const { clientWidth: width, clientHeight: height } = canvas;
  camera.scale = Math.max(width, height) / VIEW;
  const mine = view.crafts.get(hub.client) ?? { x: SIZE / 2, y: SIZE / 2 };
  const side = SIZE * camera.scale;
  const place = (length, at, margin) =>
    side + 2 * margin < length
      ? (length - side) / 2
      : Math.min(margin, Math.max(length - side - margin, length / 2 - at * camera.scale));
  camera.x = place(width, mine.x, 24);
  // high walls: what is drawn over the field must not hide the player
  camera.y = place(height, mine.y, 140);
}

function disc(x, y, radius, colour) {
  brush.fillStyle = colour;
  brush.beginPath();
  brush.arc(x, y, radius, 0, 2 * Math.PI);
  brush.fill();
}

function drawField() {
  brush.fillStyle = "#151b2c";
  brush.beginPath();
  brush.roundRect(0, 0, SIZE, SIZE, 28);
  brush.fill();
  brush.strokeStyle = "#3a4668";
  brush.lineWidth = 3;
  brush.stroke();
  brush.strokeStyle = "#1c2439";
  brush.lineWidth = 2;
  brush.beginPath();
  for (let at = 100; at < SIZE; at += 100) {
    brush.moveTo(at, 2);
    brush.lineTo(at, SIZE - 2);
    brush.moveTo(2, at);
    brush.lineTo(SIZE - 2, at);
  }
  brush.stroke();
}

function drawSparks(now) {
  for (const [name, { x, y }] of view.sparks) {
    const glow = 1 + 0.15 * Math.sin(now / 250 + name);
    disc(x, y, 22 * glow, "rgb(255 209 102 / 14%)");
    disc(x, y, 10 * glow, "#ffd166");
    disc(x, y, 4, "#fff6da");
  }
  bursts = bursts.filter(({ since }) => now - since < 450);
  for (const { x, y, since } of bursts) {
    const part = (now - since) / 450;
    brush.strokeStyle = `rgb(255 209 102 / ${(1 - part) * 80}%)`;
    brush.lineWidth = 4;
    brush.beginPath();
    brush.arc(x, y, 12 + 46 * part, 0, 2 * Math.PI);
    brush.stroke();
  }
}

function drawCrafts(before) {
  brush.textAlign = "center";
  brush.font = `600 ${Math.max(15, 12 / camera.scale)}px system-ui, sans-serif`;
  for (const [client, { x, y }] of view.crafts) {
    const info = room.members.get(client)?.info ?? { name: "", colour: "#8888aa" };
    const was = before.crafts.get(client) ?? { x, y };
    const [vx, vy] = [x - was.x, y - was.y];
    for (let step = 5; step > 0; step--) {
      brush.globalAlpha = 0.07;
      disc(x - vx * step * 1.6, y - vy * step * 1.6, CRAFT * (1 - step * 0.09), info.colour);
    }
    brush.globalAlpha = 1;
    disc(x, y, CRAFT, info.colour);
    brush.lineWidth = client === hub.client ? 4 : 2;
    brush.strokeStyle = client === hub.client ? "#ffffff" : "rgb(255 255 255 / 45%)";
    brush.stroke();
    disc(x + vx * 1.6, y + vy * 1.6, 7, "#0f1320");
    brush.fillStyle = "#e9e6dd";
    brush.fillText(info.name, x, y - CRAFT - 10);
  }
}

function noteBursts(before, now) {
  for (const [name, at] of before.sparks) if (!view.sparks.has(name)) bursts.push({ ...at, since: now });
}

let board = "";

function drawBoard() {
  const rows = [...view.crafts]
    .map(([client, { score }]) => ({ client, score, ...room.members.get(client)?.info }))
    .filter(({ name }) => name)
    .sort((a, b) => b.score - a.score || a.name.localeCompare(b.name))
    .slice(0, 8);
  const drawn = JSON.stringify(rows);
  if (drawn === board) return;
  board = drawn;
  const items = rows.map(({ client, name, colour, score }) =>
    make(
      "li",
      { className: client === hub.client ? "me-too" : "", style: { "--colour": colour } },
      make("span", {}, name),
      make("b", {}, score),
    ),
  );
  $("board").replaceChildren(...items);
}

function draw(now) {
  requestAnimationFrame(draw);
  if (states.length === 0) return;
  const before = view;
  view = between();
  noteBursts(before, now);
  aim();
  const { x, y, scale } = camera;
  const ratio = devicePixelRatio;
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.fillStyle = "#0f1320";
  brush.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  brush.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * x, ratio * y);
  drawField();
  drawSparks(now);
  drawCrafts(before);
  drawBoard();
}

$("hint").textContent = matchMedia("(pointer: coarse)").matches
  ? "Hold a finger where you want to go"
  : "Steer with the arrow keys, or hold the mouse where you want to go";
new ResizeObserver(resize).observe(canvas);
requestAnimationFrame(draw);

/** For the console, and for tests: what is drawn now. */
globalThis.showcase = {
  get me() {
    return view.crafts.get(hub.client);
  },
  craft(name) {
    for (const [client, { info }] of room.members) if (info.name === name) return view.crafts.get(client);
    return undefined;
  },
  get tick() {
    return states.at(-1)?.tick;
  },
};
