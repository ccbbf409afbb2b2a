// A world for the client in which time passes by hand, and the other end of each socket is ours.

import { connect, pack, unpack } from "../../../src/treadle/hub/javascript/treadle-hub.js";

/** The other end of a WebSocket. */
export class FakeSocket {
  sent = [];
  closed = null;
  dead = false;

  constructor(world, url, protocols) {
    this.world = world;
    this.url = url;
    this.protocols = protocols;
    this.msgpack = protocols.includes("treadle.msgpack");
    world.sockets.push(this);
  }

  send(payload) {
    if (this.dead) throw new Error("InvalidStateError");
    this.sent.push(this.msgpack ? unpack(payload) : JSON.parse(payload));
  }

  close(code) {
    this.closed = code;
  }

  /** What the client sent since it was asked, but pings. */
  take(type) {
    const taken = this.sent.filter((frame) => (type ? frame.type === type : frame.type !== "ping"));
    this.sent = [];
    return taken;
  }

  // --- what the hub does

  say(frame) {
    const data = this.msgpack ? pack(frame).buffer : JSON.stringify(frame);
    this.onmessage?.({ data });
  }

  welcome(values = {}) {
    this.say({ type: "welcome", client: "me", session: "me.seal", ping: 25, max_message: 1000, ...values });
  }

  join(values = {}) {
    const { id, room } = this.take("join").at(-1);
    this.say({ type: "joined", id, room, position: { epoch: "e", offset: 0 }, ...values });
  }

  drop(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
  }
}

/** Something that events are dispatched to. */
class Target {
  listeners = new Map();

  addEventListener(name, listener) {
    this.listeners.set(name, listener);
  }

  removeEventListener(name) {
    this.listeners.delete(name);
  }

  dispatch(name) {
    this.listeners.get(name)?.();
  }
}

export class World {
  time = 0;
  timers = [];
  sockets = [];
  chance = 1; // what random() gives
  window = new Target();
  document = new Target();
  stored = new Map();
  forbidStorage = false;
  states = [];

  connect(options = {}) {
    const world = this;
    return connect("/hub", {
      onState: (state, detail) => this.states.push({ state, ...detail }),
      // one that has no limits, for tests of other things
      rate: 1e6,
      burst: 1e6,
      environment: {
        WebSocket: class extends FakeSocket {
          constructor(url, protocols) {
            super(world, url, protocols);
          }
        },
        setTimeout: (callback, delay) => {
          const timer = { due: this.time + delay, callback };
          this.timers.push(timer);
          return timer;
        },
        clearTimeout: (timer) => {
          this.timers = this.timers.filter((other) => other !== timer);
        },
        now: () => this.time,
        random: () => this.chance,
        window: this.window,
        document: this.document,
        storage: () => this.storage(),
        location: "https://example.org/page",
      },
      ...options,
    });
  }

  storage() {
    if (this.forbidStorage) throw new Error("SecurityError");
    return {
      getItem: (key) => this.stored.get(key) ?? null,
      setItem: (key, value) => this.stored.set(key, value),
      removeItem: (key) => this.stored.delete(key),
    };
  }

  /** A client that is online. */
  online(options) {
    const hub = this.connect(options);
    this.socket.welcome();
    return hub;
  }

  /** The newest socket. */
  get socket() {
    return this.sockets.at(-1);
  }

  /** Let so many milliseconds pass. */
  pass(duration) {
    const end = this.time + duration;
    for (;;) {
      const due = this.timers.filter((timer) => timer.due <= end).sort((a, b) => a.due - b.due)[0];
      if (due === undefined) break;
      this.time = Math.max(this.time, due.due);
      this.timers = this.timers.filter((timer) => timer !== due);
      due.callback();
    }
    this.time = end;
  }

  /** The connection breaks, and the next one is there. */
  reconnect(values) {
    this.socket.drop();
    this.pass(60_000);
    this.socket.welcome(values);
  }
}

/** Let what promises do be done. */
export async function settled() {
  for (let round = 0; round < 20; round++) await null;
}

/** What became of a promise so far. */
export async function outcome(promise) {
  let result = "pending";
  promise.then(
    (value) => (result = { value }),
    (error) => (result = { error }),
  );
  await settled();
  return result;
}
