import assert from "node:assert/strict";
import { test } from "node:test";

import { Closed, Code, FINAL, Full, Refused } from "../../../src/treadle/hub/javascript/treadle-hub.js";
import { World, outcome, settled } from "./world.mjs";

const offsets = (seen) => seen.map((message) => message.offset);
const message = (offset, values = {}) => ({ type: "message", room: "chat", data: offset, offset, ...values });

/** A client in a room, and what it was told. */
function inRoom(world, options = {}, joined = {}) {
  const hub = world.online(options.connect);
  const told = { messages: [], presence: [], gaps: [], joins: [], refused: [] };
  const room = hub.join("chat", {
    onMessage: (value) => told.messages.push(value),
    onPresence: (value) => told.presence.push(value),
    onGap: (value) => told.gaps.push(value),
    onJoined: (value) => told.joins.push(value),
    onRefused: (value) => told.refused.push(value),
    ...options.join,
  });
  world.socket.join(joined);
  return { hub, room, told };
}

// --- connecting

test("an address is made one of WebSocket, relative to the page", () => {
  const world = new World();
  world.connect();
  assert.equal(world.socket.url, "wss://example.org/hub");
});

test("the encoding is asked for as a subprotocol", () => {
  const world = new World();
  world.connect({ protocol: "msgpack" });
  assert.deepEqual(world.socket.protocols, ["treadle.msgpack"]);
});

test("an unknown encoding is refused at once", () => {
  assert.throws(() => new World().connect({ protocol: "xml" }), /"json" or "msgpack", not xml/);
});

test("a place without WebSocket is told what to do", () => {
  assert.throws(() => new World().connect({ environment: { WebSocket: undefined } }), TypeError);
});

test("the states are told in order", () => {
  const world = new World();
  const hub = world.online();
  world.socket.drop(1001, "restarting");
  world.pass(500);
  hub.close();
  assert.deepEqual(
    world.states.map(({ state }) => state),
    ["connecting", "online", "offline", "connecting", "closed"],
  );
  assert.deepEqual(world.states[2], { state: "offline", code: 1001, reason: "restarting", delay: 500 });
});

test("a token is sent in a header that browsers can set", async () => {
  const world = new World();
  world.connect({ token: "tök/en==" });
  const [, offered] = world.socket.protocols;
  assert.match(offered, /^treadle\.token\.[\w-]+$/);
  assert.equal(Buffer.from(offered.slice(14), "base64url").toString(), "tök/en==");
});

test("a token's function is asked before each connection", async () => {
  const world = new World();
  let asked = 0;
  world.connect({ token: async () => `ticket ${++asked}` });
  await settled();
  world.socket.drop();
  world.pass(500);
  await settled();
  const offered = world.sockets.map((socket) => socket.protocols[1]);
  assert.equal(asked, 2);
  assert.notEqual(offered[0], offered[1]);
});

test("a token that cannot be had is a failed attempt", async () => {
  const world = new World();
  world.connect({ token: () => Promise.reject(new Error("no login")) });
  await settled();
  assert.equal(world.states.at(-1).state, "offline");
  assert.match(world.states.at(-1).reason, /no login/);
});

test("a client that is closed while its token is fetched makes no connection", async () => {
  const world = new World();
  const hub = world.connect({ token: async () => "ticket" });
  hub.close();
  await settled();
  assert.equal(world.sockets.length, 0);
});

test("a socket that never opens is given up", () => {
  const world = new World();
  world.connect();
  world.pass(10_000);
  assert.equal(world.states.at(-1).state, "offline");
  assert.equal(world.sockets[0].closed, 1000);
});

test("a socket that was given up is not listened to any more", () => {
  const world = new World();
  world.connect();
  const [first] = world.sockets;
  world.pass(10_000);
  first.welcome({ client: "ghost" });
  first.drop(4401);
  assert.equal(world.states.at(-1).state, "offline");
});

test("an error is the end of a connection, also when no close follows", () => {
  const world = new World();
  world.connect();
  world.socket.onerror();
  world.pass(0);
  assert.equal(world.states.at(-1).state, "offline");
});

test("a close after an error says why", () => {
  const world = new World();
  world.connect();
  world.socket.onerror();
  world.socket.drop(1001, "because");
  world.pass(0);
  assert.deepEqual(world.states.map(({ code }) => code), [undefined, 1001]);
});

test("a WebSocket that cannot be made is a failed attempt", async () => {
  const world = new World();
  const broken = class {
    constructor() {
      throw new Error("SecurityError");
    }
  };
  const hub = world.connect({
    environment: { WebSocket: broken, setTimeout: () => 0, clearTimeout: () => {}, location: "http://a" },
  });
  await settled();
  assert.equal(hub.state, "offline");
});

// --- connecting again

test("the delay doubles with each failure, up to its bound", () => {
  const world = new World();
  world.connect();
  const delays = [];
  for (let attempt = 0; attempt < 9; attempt++) {
    world.socket.drop();
    delays.push(world.states.at(-1).delay);
    world.pass(delays.at(-1));
  }
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
});

test("the delay is any part of its bound", () => {
  const world = new World();
  world.chance = 0.25;
  world.connect();
  world.socket.drop();
  assert.equal(world.states.at(-1).delay, 125);
});

test("a connection that is lost soon does not make the delay small again", () => {
  const world = new World();
  world.online();
  world.socket.drop();
  world.pass(500);
  world.socket.welcome();
  world.pass(9_999);
  world.socket.drop();
  assert.equal(world.states.at(-1).delay, 1000);
});

test("a connection that lasts makes the delay small again", () => {
  const world = new World();
  world.online();
  world.socket.drop();
  world.pass(500);
  world.socket.welcome();
  world.pass(10_000);
  world.socket.drop();
  assert.equal(world.states.at(-1).delay, 500);
});

for (const code of FINAL) {
  test(`after ${code} it does not come back`, async () => {
    const world = new World();
    const { hub, room, told } = inRoom(world);
    const publishing = hub.publish("chat", 1);
    world.socket.drop(code, "no");
    world.pass(1e6);
    assert.equal(world.sockets.length, 1);
    assert.equal(hub.state, "closed");
    const { error } = await outcome(publishing);
    assert(error instanceof Closed);
    assert.deepEqual([error.code, error.reason], [code, "no"]);
    assert.equal(told.refused[0].code, code);
    await assert.rejects(room.publish(2), Closed);
  });
}

for (const code of [1000, 1001, 1006, 1011, 1012, 4408, 4413, 4429, 4503]) {
  test(`after ${code} it comes back`, () => {
    const world = new World();
    world.online();
    world.socket.drop(code);
    world.pass(500);
    assert.equal(world.sockets.length, 2);
  });
}

for (const [target, event] of [["window", "online"], ["document", "visibilitychange"]]) {
  test(`${event} ends the delay`, () => {
    const world = new World();
    world.connect();
    world.socket.drop();
    world[target].dispatch(event);
    assert.equal(world.sockets.length, 2);
    world.pass(9_000);
    assert.equal(world.sockets.length, 2); // and the timer is gone
  });
}

test("a page that is hidden does not end the delay", () => {
  const world = new World();
  world.connect();
  world.socket.drop();
  world.document.visibilityState = "hidden";
  world.document.dispatch("visibilitychange");
  assert.equal(world.sockets.length, 1);
});

test("a closed client listens to no events any more", () => {
  const world = new World();
  world.online().close();
  assert.equal(world.window.listeners.size + world.document.listeners.size, 0);
  assert.equal(world.timers.length, 0);
});

test("closing twice is closing once", () => {
  const world = new World();
  const hub = world.online();
  hub.close();
  hub.close();
  assert.equal(world.states.filter(({ state }) => state === "closed").length, 1);
});

test("an application may close in any state that it is told", () => {
  for (const when of ["connecting", "online", "offline"]) {
    const world = new World();
    let hub = null;
    const onState = (state) => {
      world.states.push({ state });
      if (state === when && hub) hub.close();
    };
    hub = world.connect({ onState });
    if (when === "connecting") world.socket.drop();
    else world.socket.welcome();
    if (when === "offline") world.socket.drop();
    world.pass(500);
    assert.equal(hub.state, "closed", when);
    const sockets = world.sockets.length;
    world.pass(1e6);
    assert.equal(world.sockets.length, sockets);
    assert.equal(world.timers.length, 0);
  }
});

// --- the session

test("a client that comes back shows its session", () => {
  const world = new World();
  world.online();
  world.reconnect();
  const offered = world.socket.protocols[1];
  assert.match(offered, /^treadle\.session\./);
  assert.equal(Buffer.from(offered.slice(16), "base64url").toString(), "me.seal");
});

test("a session of a tab outlives the page", () => {
  const world = new World();
  world.online({ session: "tab" });
  const later = world.connect({ session: "tab" });
  assert.match(world.socket.protocols[1], /^treadle\.session\./);
  later.close();
});

test("a session of memory does not outlive the page", () => {
  const world = new World();
  world.online();
  world.connect();
  assert.equal(world.socket.protocols.length, 1);
});

test("a client that was replaced, by a copy of its tab, comes back under another name", () => {
  const world = new World();
  world.online({ session: "tab" });
  world.socket.drop(Code.REPLACED);
  world.pass(500);
  assert.equal(world.socket.protocols.length, 1);
});

test("a browser that forbids storage costs the session only", () => {
  const world = new World();
  world.forbidStorage = true;
  const hub = world.online({ session: "tab" });
  assert.equal(hub.state, "online");
  world.reconnect();
  assert.match(world.socket.protocols[1], /^treadle\.session\./);
});

// --- signs of life

test("a client that has nothing to say pings", () => {
  const world = new World();
  world.online();
  world.socket.take();
  world.pass(25_000);
  assert.deepEqual(world.socket.sent, [{ type: "ping" }]);
});

test("a client in a page whose timers run once a minute is heard often enough", () => {
  const world = new World();
  const hub = world.online();
  for (let minute = 0; minute < 5; minute++) {
    world.pass(24_000);
    hub.publish("a", minute); // before the tick
    world.socket.take();
    world.time += 36_000; // in which no timer ran
    world.pass(0);
    assert.equal(world.socket.take("ping").length, 1);
    world.socket.say({ type: "pong" });
  }
});

test("a client that only listens pings, for the hub wants to know of it", () => {
  const world = new World();
  inRoom(world);
  world.pass(25_000);
  world.socket.take();
  for (let second = 1; second <= 25; second++) {
    world.pass(1000);
    world.socket.say(message(second));
  }
  assert.equal(world.socket.sent.length, 1);
});

test("a server that is silent for three pings is left", () => {
  const world = new World();
  world.online();
  world.pass(99_999);
  assert.equal(world.states.at(-1).state, "online");
  world.pass(1);
  assert.equal(world.states.at(-1).state, "offline");
  assert.equal(world.states.at(-1).code, Code.SILENT);
});

test("a server that answers pings is kept", () => {
  const world = new World();
  world.online();
  for (let round = 0; round < 40; round++) {
    world.pass(12_500);
    world.socket.say({ type: "pong" });
  }
  assert.equal(world.states.at(-1).state, "online");
});

for (const [target, event] of [["window", "online"], ["window", "offline"], ["document", "visibilitychange"]]) {
  test(`${event} has a silent connection replaced soon`, () => {
    const world = new World();
    world.online();
    world.pass(1000);
    world[target].dispatch(event);
    assert.equal(world.socket.sent.at(-1).type, "ping");
    world.pass(10_000);
    assert.equal(world.states.at(-1).state, "offline");
  });
}

test("an answer after such an event keeps the connection", () => {
  const world = new World();
  world.online();
  world.window.dispatch("online");
  world.socket.say({ type: "pong" });
  world.pass(10_000);
  assert.equal(world.states.at(-1).state, "online");
});

test("what is no frame ends the connection, not the client", () => {
  for (const data of ["{", "null", "[]", '{"type": 1}']) {
    const world = new World();
    world.online();
    world.socket.onmessage({ data });
    assert.equal(world.states.at(-1).state, "offline");
  }
});

test("a frame of a kind that is not known is passed over", () => {
  const world = new World();
  world.online();
  world.socket.say({ type: "novelty" });
  world.socket.say({ type: "constructor" });
  assert.equal(world.states.at(-1).state, "online");
});

// --- rooms

test("a join asks for history", () => {
  const world = new World();
  world.online().join("chat", { history: 20 });
  const [{ id, ...frame }] = world.socket.take();
  assert.deepEqual(frame, { type: "join", room: "chat", history: 20 });
  assert(id > 0);
});

test("a room that is joined while offline is joined later", () => {
  const world = new World();
  const hub = world.connect();
  hub.join("chat");
  world.socket.welcome();
  assert.equal(world.socket.take()[0].room, "chat");
});

test("joined says where the room is and who is there", async () => {
  const world = new World();
  const members = [{ client: "a", info: { name: "Ada" } }];
  const { room, told } = inRoom(world, {}, { members, position: { epoch: "e", offset: 7 } });
  const joined = await room.joined;
  assert.deepEqual(joined, {
    room: "chat",
    position: { epoch: "e", offset: 7 },
    recovered: null,
    reason: "",
    members,
  });
  assert.deepEqual(told.joins, [joined]);
  assert.deepEqual(room.members.get("a").info, { name: "Ada" });
});

test("messages are handed out with what the hub left out", () => {
  const world = new World();
  const { told } = inRoom(world);
  world.socket.say({ type: "message", room: "chat", data: { text: "hi" } });
  assert.deepEqual(told.messages, [
    { room: "chat", data: { text: "hi" }, sender: null, offset: 0, key: null, to: null },
  ]);
});

test("after a reconnect everything since the last message is asked for", () => {
  const world = new World();
  const { told } = inRoom(world);
  world.socket.say(message(1));
  world.socket.say(message(5));
  world.reconnect();
  const [{ after }] = world.socket.sent.filter(({ type }) => type === "join");
  assert.deepEqual(after, { epoch: "e", offset: 5 });
  world.socket.join({ position: after, recovered: true });
  world.socket.say(message(6));
  assert.deepEqual(offsets(told.messages), [1, 5, 6]);
  assert.deepEqual(told.gaps, []);
});

test("a connection that breaks in the middle of a replay is taken up from there", () => {
  const world = new World();
  const { told } = inRoom(world);
  world.socket.say(message(1));
  world.reconnect();
  world.socket.join({ position: { epoch: "e", offset: 1 }, recovered: true });
  world.socket.say(message(2));
  world.reconnect();
  assert.deepEqual(world.socket.sent.find(({ type }) => type === "join").after, { epoch: "e", offset: 2 });
  assert.deepEqual(offsets(told.messages), [1, 2]);
});

test("a message that was seen is dropped", () => {
  const world = new World();
  const { told } = inRoom(world);
  for (const offset of [1, 2, 2, 1, 3]) world.socket.say(message(offset));
  assert.deepEqual(offsets(told.messages), [1, 2, 3]);
});

test("messages that are not kept are no duplicates of each other", () => {
  const world = new World();
  const { told } = inRoom(world);
  world.socket.say(message(4));
  world.socket.say(message(0));
  world.socket.say(message(0));
  assert.deepEqual(offsets(told.messages), [4, 0, 0]);
});

test("a recovery that is impossible is a gap, and the room goes on in the new epoch", () => {
  const world = new World();
  const { told, room } = inRoom(world);
  world.socket.say(message(9));
  world.reconnect();
  const position = { epoch: "f", offset: 2 };
  world.socket.join({ position, recovered: false, reason: "another epoch" });
  world.socket.say(message(3));
  assert.deepEqual(told.gaps, [{ room: "chat", reason: "another epoch", dropped: 0, position }]);
  assert.deepEqual(offsets(told.messages), [9, 3]);
  assert.deepEqual(room.position, { epoch: "f", offset: 3 });
});

test("a gap moves the position, also back", () => {
  const world = new World();
  const { told, room } = inRoom(world);
  world.socket.say(message(9));
  world.socket.say({ type: "gap", room: "chat", reason: "slow", dropped: 3, position: { epoch: "e", offset: 4 } });
  world.socket.say(message(5));
  assert.equal(told.gaps[0].dropped, 3);
  assert.deepEqual(offsets(told.messages), [9, 5]);
  assert.deepEqual(room.position, { epoch: "e", offset: 5 });
});

test("a gap in a room without history has no position", () => {
  const world = new World();
  const { told, room } = inRoom(world, {}, { position: null });
  world.socket.say({ type: "gap", room: "chat", reason: "slow", dropped: 1 });
  assert.equal(told.gaps[0].position, null);
  assert.equal(room.position, null);
});

test("an application may give the position from which it goes on", () => {
  const world = new World();
  world.online().join("chat", { after: { epoch: "e", offset: 3 }, history: 10 });
  assert.deepEqual(world.socket.take()[0].after, { epoch: "e", offset: 3 });
});

test("members are kept up to date before presence is told", () => {
  const world = new World();
  const sizes = [];
  const hub = world.online();
  const room = hub.join("chat", { onPresence: () => sizes.push(room.members.size) });
  world.socket.join({ members: [{ client: "a", info: null }] });
  world.socket.say({ type: "presence", room: "chat", event: "join", member: { client: "b", info: null } });
  world.socket.say({ type: "presence", room: "chat", event: "leave", member: { client: "a", info: null } });
  assert.deepEqual(sizes, [2, 1]);
  assert.deepEqual([...room.members.keys()], ["b"]);
});

test("a room that is joined cannot be joined twice", () => {
  const world = new World();
  const { hub } = inRoom(world);
  assert.throws(() => hub.join("chat"), /joined already/);
});

test("nothing of a room is told after it was left", () => {
  const world = new World();
  const { told, room } = inRoom(world);
  room.leave();
  assert.equal(world.socket.take()[0].type, "leave");
  world.socket.say(message(1));
  world.reconnect();
  assert.deepEqual(told.messages, []);
  assert.deepEqual(world.socket.take(), []);
});

test("a room that is left and joined again gets only what is of the new join", () => {
  const world = new World();
  const { hub, room, told } = inRoom(world);
  room.leave();
  const seen = [];
  hub.join("chat", { onMessage: ({ offset }) => seen.push(offset) });
  world.socket.say(message(1)); // under way before the leave
  world.socket.join({ position: { epoch: "e", offset: 1 } });
  world.socket.say(message(2));
  assert.deepEqual(told.messages, []);
  assert.deepEqual(seen, [2]);
});

test("a room that is left in the middle of a replay gets nothing more", () => {
  const world = new World();
  const seen = [];
  const room = world.online().join("chat", {
    onMessage: ({ offset }) => {
      seen.push(offset);
      room.leave();
    },
  });
  world.socket.join();
  world.socket.say(message(1));
  world.socket.say(message(2));
  assert.deepEqual(seen, [1]);
});

test("a join that was left before its answer stays left", async () => {
  const world = new World();
  const room = world.online().join("chat");
  room.leave();
  const [join, leave] = world.socket.take();
  assert.deepEqual([join.type, leave.type], ["join", "leave"]);
  world.socket.say({ type: "joined", id: join.id, room: "chat" });
  await assert.rejects(room.joined, Closed);
});

test("a refused join is told, and not tried again", async () => {
  const world = new World();
  const refused = [];
  const room = world.online().join("secret", { onRefused: (error) => refused.push(error) });
  const [{ id }] = world.socket.take();
  world.socket.say({ type: "failed", id, code: 4403, reason: "members only" });
  const { error } = await outcome(room.joined);
  assert(error instanceof Refused);
  assert.deepEqual([error.code, error.message, error.name], [4403, "members only", "Refused"]);
  assert.deepEqual(refused, [error]);
  world.reconnect();
  assert.deepEqual(world.socket.take(), []);
});

test("a join that the hub could not do now is tried again", () => {
  const world = new World();
  const hub = world.online();
  hub.join("chat");
  const [{ id }] = world.socket.take();
  world.socket.say({ type: "failed", id, code: 4503, reason: "no backend" });
  assert.deepEqual(world.socket.take(), []);
  world.pass(500);
  assert.equal(world.socket.take("join").length, 1);
});

test("an application's own failure is reported and harms nothing", (t) => {
  const reported = t.mock.method(console, "error", () => {});
  const world = new World();
  const seen = [];
  inRoom(world, {
    join: {
      onMessage: ({ offset }) => {
        seen.push(offset);
        throw new Error("mine");
      },
    },
  });
  world.socket.say(message(1));
  world.socket.say(message(2));
  assert.deepEqual(seen, [1, 2]);
  assert.equal(reported.mock.callCount(), 2);
});

// --- publishing

test("a publish resolves with its place", async () => {
  const world = new World();
  const { room } = inRoom(world);
  const publishing = room.publish({ text: "hi" }, { key: "k", to: "b", others: true });
  const [{ id, dedupe, ...frame }] = world.socket.take();
  assert.deepEqual(frame, { type: "publish", room: "chat", data: { text: "hi" }, key: "k", to: "b", others: true });
  assert.match(dedupe, /^[0-9a-f]{18}-\d+$/);
  world.socket.say({ type: "published", id, room: "chat", offset: 3 });
  assert.deepEqual(await publishing, { room: "chat", offset: 3 });
});

test("two messages never have the same name", () => {
  const world = new World();
  const names = new Set();
  for (let client = 0; client < 2; client++) {
    const hub = world.online();
    hub.publish("a", 1);
    hub.publish("a", 1);
    for (const { dedupe } of world.socket.take("publish")) names.add(dedupe);
  }
  assert.equal(names.size, 4);
});

test("nothing to say is said as null", () => {
  const world = new World();
  world.online().publish("a");
  assert.equal(world.socket.take()[0].data, null);
});

test("a refused publish rejects with the hub's code and reason", async () => {
  const world = new World();
  const publishing = world.online().publish("a", 1);
  const [{ id }] = world.socket.take();
  world.socket.say({ type: "failed", id, code: 4403, reason: "read only" });
  const { error } = await outcome(publishing);
  assert(error instanceof Refused);
  assert.deepEqual([error.code, error.reason], [4403, "read only"]);
});

test("what is published offline is sent later, in order, after the joins", async () => {
  const world = new World();
  const hub = world.connect();
  const room = hub.join("chat");
  const first = room.publish("one");
  room.publish("two");
  world.socket.welcome();
  assert.deepEqual(world.socket.sent.map(({ type }) => type), ["join"]);
  world.socket.join();
  const sent = world.socket.take();
  assert.deepEqual(sent.map(({ data }) => data), ["one", "two"]);
  world.socket.say({ type: "published", id: sent[0].id, room: "chat", offset: 1 });
  assert.equal((await first).offset, 1);
});

test("what was not confirmed is sent again under the same name", async () => {
  const world = new World();
  const { room } = inRoom(world);
  const publishing = room.publish("once");
  const [before] = world.socket.take();
  world.reconnect();
  world.socket.join({ recovered: true });
  const [after] = world.socket.take();
  assert.deepEqual(after, before);
  world.socket.say({ type: "published", id: after.id, room: "chat", offset: 8 });
  assert.equal((await publishing).offset, 8);
});

test("what was confirmed is not sent again", async () => {
  const world = new World();
  const hub = world.online();
  hub.publish("a", 1);
  const [{ id }] = world.socket.take();
  world.socket.say({ type: "published", id, room: "a" });
  world.reconnect();
  assert.deepEqual(world.socket.take(), []);
});

test("what is published is as it was then, however it is changed later", () => {
  const world = new World();
  const hub = world.connect();
  const data = { text: "before" };
  hub.publish("a", data);
  data.text = "after";
  world.socket.welcome();
  assert.equal(world.socket.take()[0].data.text, "before");
});

test("messages that wait are bounded in number", async () => {
  const world = new World();
  const hub = world.connect({ maxPending: 2 });
  hub.publish("a", 1);
  hub.publish("a", 2);
  await assert.rejects(hub.publish("a", 3), Full);
  world.socket.welcome();
  assert.deepEqual(world.socket.take().map(({ data }) => data), [1, 2]);
});

test("messages that wait are bounded in bytes, and settled ones do not count", async () => {
  const world = new World();
  const hub = world.online({ maxPendingBytes: 1000 });
  for (let round = 0; round < 10; round++) {
    hub.publish("a", "x".repeat(500));
    const [{ id }] = world.socket.take();
    await assert.rejects(hub.publish("a", "x".repeat(500)), Full);
    world.socket.say({ type: "published", id, room: "a" });
  }
});

test("a message that is too large is refused here, rather than the connection closed", async () => {
  const world = new World();
  const hub = world.online();
  const { error } = await outcome(hub.publish("a", "ü".repeat(480)));
  assert(error instanceof Refused);
  assert.equal(error.code, Code.TOO_LARGE);
  assert.deepEqual(world.socket.take(), []);
});

test("a message that turns out to be too large is refused when the hub says so", async () => {
  const world = new World();
  const hub = world.connect();
  const large = hub.publish("a", "x".repeat(2000));
  const small = hub.publish("a", "y");
  world.socket.welcome();
  assert.equal((await outcome(large)).error.code, Code.TOO_LARGE);
  assert.deepEqual(world.socket.take().map(({ data }) => data), ["y"]);
  assert.equal(await outcome(small), "pending");
});

test("what the hub could not publish now is sent again, in its place", () => {
  const world = new World();
  const hub = world.online();
  hub.publish("a", 1);
  hub.publish("a", 2);
  const [first, second] = world.socket.take();
  world.socket.say({ type: "failed", id: first.id, code: 4503, reason: "no backend" });
  hub.publish("a", 3);
  world.socket.say({ type: "failed", id: second.id, code: 4503, reason: "no backend" });
  assert.deepEqual(world.socket.take(), []);
  world.pass(500);
  const again = world.socket.take();
  assert.deepEqual(again.map(({ data }) => data), [1, 2, 3]);
  assert.equal(again[0].dedupe, first.dedupe);
});

test("while the hub is without its backend, it is asked less and less", () => {
  const world = new World();
  const hub = world.online();
  hub.publish("a", 1);
  const times = [];
  for (let round = 0; round < 5; round++) {
    const [{ id }] = world.socket.take("publish");
    times.push(world.time);
    world.socket.say({ type: "failed", id, code: 4503, reason: "no backend" });
    world.pass(500 * 2 ** round);
  }
  assert.deepEqual(times, [0, 500, 1500, 3500, 7500]);
});

test("once the hub has its backend again, the next time begins with a small delay", () => {
  const world = new World();
  const hub = world.online();
  hub.publish("a", 1);
  const fail = () => {
    const [{ id }] = world.socket.take("publish");
    world.socket.say({ type: "failed", id, code: 4503, reason: "no backend" });
  };
  fail();
  world.pass(500);
  fail();
  world.pass(1000);
  const [{ id }] = world.socket.take("publish");
  world.socket.say({ type: "published", id, room: "a" });
  hub.publish("a", 2);
  fail();
  world.pass(500);
  assert.equal(world.socket.take("publish").length, 1);
});

test("a volatile message that the hub could not publish now is dropped", async () => {
  const world = new World();
  const publishing = world.online().publish("a", 1, { volatile: true });
  const [{ id }] = world.socket.take();
  world.socket.say({ type: "failed", id, code: 4503, reason: "no backend" });
  assert.equal(await publishing, null);
  world.pass(60_000);
  assert.deepEqual(world.socket.take("publish"), []);
});

test("what waited for a room that is refused is refused by the hub as well", async () => {
  const world = new World();
  const room = world.online().join("secret");
  const publishing = room.publish(1);
  const [{ id }] = world.socket.take();
  world.socket.say({ type: "failed", id, code: 4403, reason: "members only" });
  const [sent] = world.socket.take("publish");
  world.socket.say({ type: "failed", id: sent.id, code: 4404, reason: "not in this room" });
  assert.equal((await outcome(publishing)).error.code, 4404);
});

test("what waits for its turn while a room is left and joined again is sent once", () => {
  const world = new World();
  const { hub, room } = inRoom(world, { connect: { rate: 1, burst: 1 } });
  room.publish(1);
  room.leave();
  hub.join("chat");
  const sent = [];
  for (let second = 0; second < 20; second++) {
    world.pass(1000);
    for (const frame of world.socket.take()) {
      if (frame.type === "publish") sent.push(frame.data);
      const type = { publish: "published", join: "joined", leave: "left" }[frame.type];
      world.socket.say({ type, id: frame.id, room: "chat" });
    }
  }
  assert.deepEqual(sent, [1]);
});

test("a volatile message is dropped rather than kept", async () => {
  const world = new World();
  const hub = world.connect();
  assert.equal(await hub.publish("a", 1, { volatile: true }), null);
  world.socket.welcome();
  assert.deepEqual(world.socket.take(), []);
});

test("a volatile message that was under way when the connection broke is not sent again", async () => {
  const world = new World();
  const hub = world.online();
  const publishing = hub.publish("a", 1, { volatile: true });
  world.reconnect();
  assert.equal(await publishing, null);
  assert.deepEqual(world.socket.take(), []);
});

test("a volatile message is sent at once or not at all", async () => {
  const world = new World();
  const hub = world.online({ rate: 10, burst: 2 });
  const sent = [1, 2, 3].map((data) => hub.publish("a", data, { volatile: true }));
  assert.equal(await outcome(sent[1]), "pending");
  assert.equal(await sent[2], null);
  assert.equal(world.socket.take("publish").length, 2);
});

test("a burst is spread, so that the hub does not close us for flooding", () => {
  const world = new World();
  const hub = world.connect({ rate: 10, burst: 5 });
  for (let count = 0; count < 20; count++) hub.publish("a", count);
  world.socket.welcome();
  assert.equal(world.socket.take("publish").length, 5);
  world.pass(1000);
  assert.equal(world.socket.take("publish").length, 10);
  world.pass(1000);
  assert.equal(world.socket.take("publish").length, 5);
});

test("a socket that is closing already loses no message", () => {
  const world = new World();
  const hub = world.online();
  world.socket.dead = true;
  hub.publish("a", 1);
  world.reconnect();
  assert.equal(world.socket.take("publish").length, 1);
});

test("an answer that comes twice is taken once", async () => {
  const world = new World();
  const hub = world.online();
  const publishing = hub.publish("a", 1);
  const [{ id }] = world.socket.take();
  world.socket.say({ type: "published", id, room: "a", offset: 1 });
  world.socket.say({ type: "failed", id, code: 4403, reason: "late" });
  assert.equal((await publishing).offset, 1);
});

test("who is in a room can be asked", async () => {
  const world = new World();
  const asking = world.online().members("chat");
  const [{ id, type }] = world.socket.take();
  assert.equal(type, "members");
  const members = [{ client: "a", info: null }];
  world.socket.say({ type: "roster", id, room: "chat", members });
  assert.deepEqual(await asking, members);
});

test("closing rejects what is pending", async () => {
  const world = new World();
  const hub = world.connect();
  const room = hub.join("chat");
  const publishing = room.publish(1);
  hub.close();
  assert((await outcome(publishing)).error instanceof Closed);
  assert((await outcome(room.joined)).error instanceof Closed);
  assert.throws(() => hub.join("other"), Closed);
});

test("bytes need MessagePack, and JSON says so", async () => {
  const world = new World();
  const hub = world.online();
  await assert.rejects(hub.publish("a", { update: new Uint8Array(3) }), /msgpack/);
});

test("bytes go there and come back in MessagePack", () => {
  const world = new World();
  const { room, told } = inRoom(world, { connect: { protocol: "msgpack" } });
  room.publish(Uint8Array.of(0, 255));
  assert.deepEqual(world.socket.take()[0].data, Uint8Array.of(0, 255));
  world.socket.say(message(1, { data: { update: Uint8Array.of(1, 2) } }));
  assert.deepEqual(told.messages[0].data.update, Uint8Array.of(1, 2));
});
