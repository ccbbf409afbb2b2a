// Connections that break at random moments, against a model of a hub: what is published arrives once,
// in order, and each client sees all of it, in order, or is told of a gap.

import assert from "node:assert/strict";
import { test } from "node:test";

import { World, settled } from "./world.mjs";

/** A small generator of numbers from 0 up to 1, the same for the same seed (mulberry32). */
function dice(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One room of a hub. It keeps the last `keep` messages, and counts from 1. */
class Model {
  history = [];
  names = new Map();

  constructor(keep) {
    this.keep = keep;
  }

  publish(data, dedupe) {
    if (dedupe && this.names.has(dedupe)) return this.names.get(dedupe);
    this.history.push(data);
    if (dedupe) this.names.set(dedupe, this.history.length);
    return this.history.length;
  }

  /** Answer a frame of a client; what is answered to be given later. */
  *answers(frame, away) {
    const { id, room } = frame;
    if (frame.type === "publish") {
      if (away) yield { type: "failed", id, code: 4503, reason: "away" };
      else yield { type: "published", id, room, offset: this.publish(frame.data, frame.dedupe) };
    } else if (frame.type === "join") {
      const { offset } = frame.after ?? { offset: 0 };
      const recovered = offset >= this.history.length - this.keep;
      const from = recovered ? offset : this.history.length;
      const position = { epoch: "e", offset: from };
      yield { type: "joined", id, room, position, recovered };
      yield* this.since(from);
    } else if (frame.type === "ping") yield { type: "pong" };
  }

  *since(offset) {
    for (let at = offset + 1; at <= this.history.length; at++) {
      yield { type: "message", room: "chat", data: this.history[at - 1], offset: at };
    }
  }
}

async function life(seed, keep) {
  const random = dice(seed);
  const world = new World();
  world.chance = random();
  const model = new Model(keep);
  const hub = world.connect();
  const seen = [];
  hub.join("chat", {
    onMessage: ({ data, offset }) => seen.push([offset, data]),
    onGap: ({ position }) => seen.push([position.offset, "gap"]),
  });
  const sent = [];
  const confirmed = [];
  let sight = null; // how far the hub has given its history on this connection
  let socket = null;
  let calm = false; // the network no longer breaks

  const publish = () => {
    const data = `mine ${sent.length}`;
    sent.push(data);
    hub.publish("chat", data).then(({ offset }) => confirmed.push([offset, data]));
  };
  const serve = (away) => {
    if (socket !== world.socket) {
      socket = world.socket;
      sight = null;
      socket.welcome();
    }
    for (const frame of socket.sent.splice(0)) {
      for (const answer of model.answers(frame, away)) {
        if (socket.onmessage === null) return;
        socket.say(answer);
        if (answer.type === "joined") sight = answer.position.offset;
        if (answer.type === "message") sight = answer.offset;
        if (!calm && random() < 0.05) {
          socket.drop();
          return;
        }
      }
    }
    if (sight === null) return;
    for (const message of model.since(sight)) {
      socket.say(message);
      if (random() < 0.1) socket.say(message); // twice
      sight = message.offset;
    }
  };

  for (let step = 0; step < 200; step++) {
    const what = random();
    if (what < 0.3) publish();
    else if (what < 0.4) model.publish(`theirs ${step}`);
    else if (what < 0.5) world.socket.drop();
    else if (what < 0.6) world.pass(random() * 3000);
    else if (what < 0.65) world.window.dispatch("online");
    else if (hub.state !== "offline") serve(random() < 0.1);
    await settled();
  }
  calm = true;
  for (let second = 0; second < 120; second++) {
    world.pass(1000);
    if (hub.state !== "offline") serve(false);
    await settled();
  }
  return { model, sent, confirmed, seen };
}

for (let seed = 1; seed <= 40; seed++) {
  test(`nothing is missing, doubled or out of place: life ${seed}`, async () => {
    const { model, sent, confirmed, seen } = await life(seed, Infinity);
    assert.deepEqual(seen, model.history.map((data, index) => [index + 1, data]));
    const mine = model.history.filter((data) => data.startsWith("mine"));
    assert.deepEqual([...mine].sort(), [...sent].sort());
    assert.equal(confirmed.length, sent.length);
    for (const [offset, data] of confirmed) assert.equal(model.history[offset - 1], data);
  });

  test(`what is missing is told: life ${seed}`, async () => {
    const { model, seen } = await life(seed, 3);
    let last = 0;
    for (const [offset, data] of seen) {
      if (data === "gap") assert(offset >= last);
      else assert.deepEqual([offset, data], [last + 1, model.history[last]]);
      last = offset;
    }
    assert.equal(last, model.history.length);
  });
}
