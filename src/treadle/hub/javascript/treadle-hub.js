/**
 * The hub's client for browsers, and for whatever else has a WebSocket: one file, nothing to build.
 *
 *     import { connect } from "/treadle-hub.js";
 *
 *     const hub = connect("/hub", { onState: (state) => console.log(state) });
 *     const room = hub.join("chat", {
 *       history: 50,
 *       onMessage: (message) => console.log(message.sender, message.data),
 *       onGap: (gap) => console.log("missed something:", gap.reason),
 *     });
 *     await room.publish("hello");
 *
 * What it does about a network that comes and goes:
 *
 * - It connects again by itself, after a random part of a delay that doubles ("full jitter"), so
 *   that the clients of a server that was restarted do not all come back at once. It does not after
 *   the close codes of `FINAL`: they say that the same attempt would fail again.
 * - It keeps a position for each room, and asks for what came after it. Either nothing is missing,
 *   or `onGap` says that something is, before the next message.
 * - What is published while there is no connection is kept, within bounds, and sent later. Each
 *   message has a name of its own (`dedupe`), by which the hub knows one that it got twice.
 * - A server that says nothing for three pings is taken for dead.
 * - It sends no faster than the hub allows, also when much has gathered.
 *
 * One client's messages are published in their order, with one exception: when the hub could not
 * reach its backend and could again a moment later, what was under way may be overtaken.
 *
 * Times are milliseconds, but for `ping` of the hub's welcome, which is in seconds.
 *
 * Inside, `Link` has the connection and knows no rooms; `Hub` has rooms and requests and knows no
 * socket. Callbacks of the application may do anything: after each, what was true is looked up
 * again.
 */

/** Close codes, and the codes of refusals. */
export const Code = Object.freeze({
  NORMAL: 1000,
  GOING_AWAY: 1001,
  TOO_LARGE: 1009,
  INTERNAL: 1011,
  MALFORMED: 4400,
  UNAUTHENTICATED: 4401,
  FORBIDDEN: 4403,
  UNKNOWN: 4404,
  SILENT: 4408,
  REPLACED: 4409,
  SLOW: 4413,
  FLOODING: 4429,
  UNAVAILABLE: 4503,
});

/** Close codes after which there is no point in connecting again. */
export const FINAL = Object.freeze([
  Code.TOO_LARGE,
  Code.MALFORMED,
  Code.UNAUTHENTICATED,
  Code.FORBIDDEN,
]);

/** The root of the client's own errors; `code` is one of `Code`. */
export class HubError extends Error {
  /**
   * @param {string} reason
   * @param {number} code
   */
  constructor(reason, code) {
    super(reason);
    this.name = new.target.name;
    this.reason = reason;
    this.code = code;
  }
}

/** The hub does not allow what was asked for. */
export class Refused extends HubError {}

/** The client was closed, by `close()` or by a close code of `FINAL`; or the room was left. */
export class Closed extends HubError {}

/** Too much waits to be sent or confirmed; this was not added to it. */
export class Full extends HubError {}

/**
 * @typedef {"connecting" | "online" | "offline" | "closed"} State
 * @typedef {{ epoch: string, offset: number }} Position
 * @typedef {{ client: string, info: any }} Member
 * @typedef {{ room: string, data: any, sender: string | null, offset: number,
 *   key: string | null, to: string | null }} Message `offset` is 0 when it is not kept
 * @typedef {{ room: string, event: "join" | "leave", member: Member }} Presence
 * @typedef {{ room: string, reason: string, dropped: number, position: Position | null }} Gap
 *   `dropped` is 0 when it is not known how many
 * @typedef {{ room: string, position: Position | null, recovered: boolean | null, reason: string,
 *   members: Member[] | null }} Joined
 * @typedef {{ room: string, offset: number }} Published
 * @typedef {{ code?: number, reason?: string, delay?: number }} Detail why there is no connection,
 *   and when the next attempt is made
 *
 * @typedef {object} JoinOptions
 * @property {number} [history] how many messages to get that were there before
 * @property {Position} [after] get what came after this position instead; see `Room.position`
 * @property {(message: Message) => void} [onMessage]
 * @property {(presence: Presence) => void} [onPresence] `Room.members` is up to date already
 * @property {(gap: Gap) => void} [onGap] messages are missing, and will not come
 * @property {(joined: Joined) => void} [onJoined] now, and after each reconnect
 * @property {(error: HubError) => void} [onRefused] the room is not joined, or no longer
 *
 * @typedef {object} PublishOptions
 * @property {string} [key] where the room coalesces, it replaces waiting ones of the same key
 * @property {string} [to] only for this member
 * @property {boolean} [others] not for this client itself
 * @property {boolean} [volatile] of no use later: dropped where it would have to wait, which the
 *   promise tells by `null`
 *
 * @typedef {object} ConnectOptions
 * @property {"json" | "msgpack"} [protocol] MessagePack carries `Uint8Array`; JSON is the default
 * @property {string | (() => string | Promise<string>)} [token] goes to the hub's `authenticate` as
 *   `Authorization: Bearer`; a function is asked before each connection
 * @property {(state: State, detail: Detail) => void} [onState]
 * @property {"memory" | "tab"} [session] how long this client keeps its name: as long as this
 *   object, or through reloads, in `sessionStorage`
 * @property {number} [minDelay] the first delay before it connects again is up to this (500)
 * @property {number} [maxDelay] no later one is more than this (30,000)
 * @property {number} [stable] a connection that lasts this long counts as a success (10,000)
 * @property {number} [timeout] for a connection to be made, and for a sign of life (10,000)
 * @property {number} [maxPending] messages that wait to be sent or confirmed (1,000)
 * @property {number} [maxPendingBytes] and their size (4 MiB)
 * @property {number} [rate] frames a second that it sends at most; below `Limits.rate` (40)
 * @property {number} [burst] frames that it sends at once; below `Limits.burst` (50)
 * @property {Environment} [environment] in place of the browser's own
 *
 * @typedef {object} Environment what differs outside of a browser, and in tests
 * @property {any} [WebSocket] a class like the browser's
 * @property {(callback: () => void, delay: number) => any} [setTimeout]
 * @property {(handle: any) => void} [clearTimeout]
 * @property {() => number} [now] milliseconds, never going back
 * @property {() => number} [random] from 0 up to 1
 * @property {any} [window] has the events `online` and `offline`
 * @property {any} [document] has the event `visibilitychange`
 * @property {() => any} [storage] gives what is like `sessionStorage`
 * @property {string} [location] what an address is relative to
 */

const DEFAULTS = {
  protocol: "json",
  token: null,
  onState: null,
  session: "memory",
  minDelay: 500,
  maxDelay: 30_000,
  stable: 10_000,
  timeout: 10_000,
  maxPending: 1000,
  maxPendingBytes: 4 << 20,
  rate: 40,
  burst: 50,
};

/** What frames of a kind say when they do not say it. */
const USUAL = {
  message: { sender: null, offset: 0, key: null, to: null },
  joined: { position: null, recovered: null, reason: "", members: null },
  published: { offset: 0 },
  gap: { position: null },
};

/** Pings without an answer after which a server is dead. */
const PATIENCE = 3;

/**
 * Connect to a hub, now and again whenever the connection is lost, until `close()`.
 *
 * @param {string} url of the endpoint; may be relative, and begin with http or ws
 * @param {ConnectOptions} [options]
 * @returns {Hub}
 */
export function connect(url, options = {}) {
  return new Hub(url, options);
}

/** A room that was joined. Made by `Hub.join`. */
export class Room {
  #publish;
  #leave;

  /** @param {any} parts what the hub made it of */
  constructor({ name, options, publish, leave, settle }) {
    this.#publish = publish;
    this.#leave = leave;
    /** @type {string} */
    this.name = name;
    /** @type {JoinOptions} */
    this.options = options;
    /** After the last message that was seen; null in a room without history. @type {Position | null} */
    this.position = options.after ?? null;
    /** Who is here, by client. @type {Map<string, Member>} */
    this.members = new Map();
    /** Settles with the hub's first answer. @type {Promise<Joined>} */
    this.joined = new Promise(settle);
    this.joined.catch(() => {}); // whoever does not ask is told by onRefused
  }

  /**
   * As `Hub.publish`, to this room.
   *
   * @param {any} data
   * @param {PublishOptions} [options]
   * @returns {Promise<Published | null>}
   */
  publish(data, options) {
    return this.#publish(this.name, data, options);
  }

  /** Get nothing more of this room, from now on. */
  leave() {
    this.#leave(this);
  }
}

/** Rooms and requests, over a connection that comes and goes. Made by `connect`. */
export class Hub {
  #options;
  #codec;
  #link;
  #timers;
  #jitter;
  #bucket;
  /** Each message has a name of its own, unlike those of any other client. */
  #names = `${hexadecimal(crypto.getRandomValues(new Uint8Array(9)))}-`;
  #lastId = 0;
  #maxMessage = Infinity;
  #setbacks = 0; // times in a row that the hub could not reach its backend
  /** Rooms that the application is in, by name. @type {Map<string, Room>} */
  #rooms = new Map();
  /** What settles `Room.joined`, until that is done. @type {Map<Room, any>} */
  #settlers = new Map();
  /** Joins of this connection without an answer, by id. @type {Map<number, Room>} */
  #joining = new Map();
  /** Rooms that are joined on this connection, by name. @type {Map<string, Room>} */
  #live = new Map();
  /** Requests without an answer, by id, in order. They outlive the connection. */
  #pending = new Map();
  #pendingBytes = 0;
  /** What is still to be sent on this connection: requests (they have an id), joins and leaves. */
  #unsent = [];

  /**
   * @param {string} url
   * @param {ConnectOptions} options
   */
  constructor(url, options) {
    this.#options = { ...DEFAULTS, ...options };
    const environment = { ...surroundings(), ...options.environment };
    this.#codec = codecOf(this.#options.protocol);
    this.#timers = new Timers(environment);
    this.#jitter = jitterOf(this.#options, environment);
    this.#bucket = new Bucket(this.#options, environment);
    this.#link = new Link(url, this.#options, environment, this.#codec, {
      online: (welcome) => this.#online(welcome),
      frame: (frame) => this.#receive(frame),
      offline: () => this.#offline(),
      closed: (error) => this.#closed(error),
      spent: () => this.#bucket.take(),
    });
    this.#link.open();
  }

  /** @returns {State} */
  get state() {
    return this.#link.state;
  }

  /** The name of this client that others see; null until there was a connection. */
  get client() {
    return this.#link.client;
  }

  // --- what the application calls

  /**
   * Join a room, now and after each reconnect, until it is left.
   *
   * @param {string} name
   * @param {JoinOptions} [options]
   * @returns {Room}
   */
  join(name, options = {}) {
    this.#insistOpen();
    if (this.#rooms.has(name)) throw new Error(`${name} is joined already; leave it first`);
    let settler;
    const room = new Room({
      name,
      options,
      publish: (to, data, how) => this.publish(to, data, how),
      leave: (left) => this.#leave(left),
      settle: (resolve, reject) => {
        settler = { resolve, reject };
      },
    });
    this.#rooms.set(name, room);
    this.#settlers.set(room, settler);
    if (this.state === "online") this.#sendJoin(room);
    return room;
  }

  /**
   * Send a message to a room. It is kept until the hub confirms it, however often the connection is
   * lost in between.
   *
   * @param {string} room
   * @param {any} data what JSON can say; with MessagePack also `Uint8Array` and `bigint`
   * @param {PublishOptions} [options]
   * @returns {Promise<Published | null>} rejects with `Refused`, `Full` or `Closed`
   */
  async publish(room, data, { key, to, others, volatile } = {}) {
    this.#insistOpen();
    if (volatile && !this.#sendsAtOnce(room)) return null;
    const id = ++this.#lastId;
    const frame = { type: "publish", id, room, data: data ?? null, dedupe: this.#names + id };
    if (key != null) frame.key = key;
    if (to != null) frame.to = to;
    if (others) frame.others = true;
    const answer = await this.#request(frame, volatile);
    return answer && { room: answer.room, offset: answer.offset };
  }

  /**
   * Ask who is in a room.
   *
   * @param {string} room
   * @returns {Promise<Member[]>}
   */
  async members(room) {
    this.#insistOpen();
    return (await this.#request({ type: "members", id: ++this.#lastId, room })).members;
  }

  /** Close for good: rooms are left, and what is pending is rejected with `Closed`. */
  close() {
    this.#link.finish(Code.NORMAL, "closed by this client");
  }

  #insistOpen() {
    if (this.state === "closed") throw new Closed("this client is closed", Code.NORMAL);
  }

  // --- what the link reports

  #online(welcome) {
    this.#maxMessage = welcome.max_message;
    for (const room of this.#rooms.values()) this.#sendJoin(room);
    for (const request of [...this.#pending.values()]) {
      if (request.size > this.#maxMessage) this.#settle(request).reject(this.#tooLarge(request.size));
      else this.#sendRequest(request);
    }
  }

  #offline() {
    this.#timers.clear();
    this.#live.clear();
    this.#joining.clear();
    this.#unsent = [];
    for (const request of [...this.#pending.values()]) {
      if (request.volatile) this.#settle(request).resolve(null);
    }
  }

  #closed(error) {
    for (const request of [...this.#pending.values()]) this.#settle(request).reject(error);
    for (const room of [...this.#rooms.values()]) this.#refuse(room, error);
  }

  // --- sending

  #request(frame, volatile = false) {
    const payload = this.#codec.encode(frame);
    const size = sizeOf(payload);
    const { maxPending, maxPendingBytes } = this.#options;
    if (size > this.#maxMessage) throw this.#tooLarge(size);
    if (this.#pending.size >= maxPending || this.#pendingBytes + size > maxPendingBytes) {
      throw new Full(`${this.#pending.size} messages wait already`, Code.SLOW);
    }
    return new Promise((resolve, reject) => {
      const { id, room } = frame;
      const request = { id, room, payload, size, volatile, resolve, reject };
      this.#pending.set(id, request);
      this.#pendingBytes += size;
      this.#sendRequest(request);
    });
  }

  #tooLarge(size) {
    const reason = `${size} bytes are more than the ${this.#maxMessage} that the hub takes`;
    return new Refused(reason, Code.TOO_LARGE);
  }

  /** Strike a request off the books; the caller resolves or rejects it. */
  #settle(request) {
    this.#pending.delete(request.id);
    this.#pendingBytes -= request.size;
    return request;
  }

  /** Send a request, but not to a room whose members we are about to be: it would be refused. */
  #sendRequest(request) {
    if (!this.#rooms.has(request.room) || this.#live.has(request.room)) this.#send(request);
  }

  /** Send the requests that waited for a room. */
  #release(name) {
    for (const request of this.#pending.values()) if (request.room === name) this.#send(request);
  }

  #sendJoin(room) {
    const frame = { type: "join", id: ++this.#lastId, room: room.name };
    if (room.position) frame.after = room.position;
    else if (room.options.history) frame.history = room.options.history;
    this.#joining.set(frame.id, room);
    this.#send({ payload: this.#codec.encode(frame) });
  }

  #send(item) {
    if (this.state !== "online") return; // it is sent when the link is
    this.#unsent.push(item);
    this.#pump();
  }

  #sendsAtOnce(room) {
    const joined = !this.#rooms.has(room) || this.#live.has(room);
    const waits = this.#unsent.length > 0 || this.#timers.has("pause") || this.#bucket.wait() > 0;
    return this.state === "online" && joined && !waits;
  }

  /** Send what may be sent now, and come back for the rest. */
  #pump() {
    while (this.#unsent.length > 0 && this.state === "online") {
      if (this.#timers.has("pump") || this.#timers.has("pause")) return;
      const wait = this.#bucket.wait();
      if (wait > 0) {
        this.#timers.start("pump", wait, () => this.#pump());
        return;
      }
      const { id, payload } = this.#unsent.shift();
      if (id === undefined || this.#pending.has(id)) this.#link.send(payload);
    }
  }

  /** The hub cannot reach its backend now: send nothing for a while. */
  #pause() {
    if (this.#timers.has("pause")) return;
    this.#timers.start("pause", this.#jitter(this.#setbacks++), () => this.#pump());
  }

  // --- receiving

  static #receivers = {
    joined: (hub, frame) => hub.#joined(frame),
    message: (hub, frame) => hub.#message(frame),
    presence: (hub, frame) => hub.#presence(frame),
    gap: (hub, frame) => hub.#gap(frame),
    published: (hub, frame) => hub.#answered(frame),
    roster: (hub, frame) => hub.#answered(frame),
    failed: (hub, frame) => hub.#failed(frame),
  };

  #receive(frame) {
    const { type, ...rest } = frame;
    if (Object.hasOwn(Hub.#receivers, type)) Hub.#receivers[type](this, { ...USUAL[type], ...rest });
  }

  #joined({ id, ...joined }) {
    const room = this.#joining.get(id);
    if (room === undefined) return; // left in the meantime
    this.#joining.delete(id);
    this.#live.set(room.name, room);
    this.#setbacks = 0;
    this.#release(room.name);
    if (joined.recovered !== true) room.position = joined.position;
    room.members = new Map((joined.members ?? []).map((member) => [member.client, member]));
    this.#settlers.get(room)?.resolve(joined);
    this.#settlers.delete(room);
    call(room.options.onJoined, joined);
    if (joined.recovered === false && this.#live.get(room.name) === room) {
      const { reason, position } = joined;
      call(room.options.onGap, { room: room.name, reason, dropped: 0, position });
    }
  }

  #message(message) {
    const room = this.#live.get(message.room);
    if (room === undefined) return;
    if (message.offset > 0) {
      const { epoch, offset } = room.position ?? { epoch: "", offset: 0 };
      if (message.offset <= offset) return; // seen already
      room.position = { epoch, offset: message.offset };
    }
    call(room.options.onMessage, message);
  }

  #presence(presence) {
    const room = this.#live.get(presence.room);
    if (room === undefined) return;
    const { event, member } = presence;
    if (event === "join") room.members.set(member.client, member);
    else room.members.delete(member.client);
    call(room.options.onPresence, presence);
  }

  #gap(gap) {
    const room = this.#live.get(gap.room);
    if (room === undefined) return;
    // also when it is before ours: the hub's history begins again there
    room.position = gap.position ?? room.position;
    call(room.options.onGap, gap);
  }

  #answered({ id, ...answer }) {
    const request = this.#pending.get(id);
    if (request === undefined) return; // a leave, or one that was answered before
    this.#setbacks = 0;
    this.#settle(request).resolve(answer);
  }

  #failed({ id, code, reason }) {
    const room = this.#joining.get(id);
    const request = this.#pending.get(id);
    this.#joining.delete(id);
    if (code === Code.UNAVAILABLE) {
      this.#retry(room, request);
      return;
    }
    const error = new Refused(reason, code);
    if (room) this.#refuse(room, error);
    if (request) this.#settle(request).reject(error);
  }

  /** Send again what the hub could not do for want of its backend: soon, and in its old place. */
  #retry(room, request) {
    if (request?.volatile) {
      this.#settle(request).resolve(null);
    } else if (request) {
      this.#pause();
      const next = this.#unsent.findIndex(({ id }) => id > request.id);
      this.#unsent.splice(next < 0 ? this.#unsent.length : next, 0, request);
    } else if (room) {
      this.#pause();
      this.#sendJoin(room);
    }
  }

  // --- rooms that end

  #leave(room) {
    if (this.#rooms.get(room.name) !== room) return;
    const known = this.#live.has(room.name) || [...this.#joining.values()].includes(room);
    this.#forget(room, new Closed("the room was left", Code.NORMAL));
    const frame = { type: "leave", id: ++this.#lastId, room: room.name };
    if (known) this.#send({ payload: this.#codec.encode(frame) });
  }

  #refuse(room, error) {
    this.#forget(room, error);
    call(room.options.onRefused, error);
  }

  #forget(room, error) {
    this.#rooms.delete(room.name);
    if (!this.#live.delete(room.name)) this.#release(room.name);
    for (const [id, other] of this.#joining) if (other === room) this.#joining.delete(id);
    this.#settlers.get(room)?.reject(error);
    this.#settlers.delete(room);
  }
}

/** Makes connections, one after the other, and notices when one is dead. */
class Link {
  /** @type {State} */
  state = "connecting";
  /** @type {string | null} */
  client = null;
  #url;
  #options;
  #environment;
  #codec;
  #user;
  #timers;
  #jitter;
  #unlisten;
  /** @type {any} */ #socket = null;
  /** Of the attempt to connect; whatever belongs to an earlier one is not listened to. */
  #generation = 0;
  #failures = 0; // attempts in a row without a stable connection
  #ping = 0; // milliseconds
  #heard = false; // anything, since the last tick
  #missed = 0; // ticks in a row in which nothing was heard

  constructor(url, options, environment, codec, user) {
    if (!environment.WebSocket) {
      throw new TypeError("there is no WebSocket: pass one as options.environment.WebSocket");
    }
    this.#url = new URL(url, environment.location);
    this.#url.protocol = this.#url.protocol.replace("http", "ws");
    this.#options = options;
    this.#environment = environment;
    this.#codec = codec;
    this.#user = user;
    this.#timers = new Timers(environment);
    this.#jitter = jitterOf(options, environment);
    const { window, document } = environment;
    this.#unlisten = listen([
      [window, "online", () => this.#wake()],
      [window, "offline", () => this.#probe()],
      [document, "visibilitychange", () => document.visibilityState !== "hidden" && this.#wake()],
    ]);
  }

  async open() {
    const generation = ++this.#generation;
    const { token, timeout, protocol } = this.#options;
    this.#timers.start("connecting", timeout, () => this.#lose(0, "connecting took too long"));
    this.#become("connecting");
    try {
      const credentials = typeof token === "function" ? await token() : token;
      if (generation !== this.#generation) return;
      const protocols = [`treadle.${protocol}`];
      // in a header, for addresses are logged
      if (this.#session) protocols.push(`treadle.session.${base64url(this.#session)}`);
      if (credentials) protocols.push(`treadle.token.${base64url(credentials)}`);
      this.#socket = this.#listenTo(new this.#environment.WebSocket(this.#url.href, protocols));
    } catch (error) {
      if (generation === this.#generation) this.#lose(0, `cannot connect: ${error}`);
    }
  }

  #listenTo(socket) {
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#lose(event.code, event.reason);
    // a close follows at once, and says more; but not in every WebSocket outside of browsers
    socket.onerror = () => this.#timers.start("failed", 0, () => this.#lose(1006, "failed"));
    return socket;
  }

  send(payload) {
    this.#user.spent();
    try {
      this.#socket.send(payload);
    } catch {
      // it is closing, as onclose will say
    }
  }

  /** No more connections. */
  finish(code, reason) {
    if (this.state === "closed") return;
    this.#detach();
    this.#unlisten();
    this.state = "closed";
    this.#user.offline();
    this.#user.closed(new Closed(reason || `closed by the hub: ${code}`, code));
    call(this.#options.onState, "closed", { code, reason });
  }

  #become(state, detail = {}) {
    this.state = state;
    call(this.#options.onState, state, detail);
  }

  /** The connection is gone, or given up. */
  #lose(code, reason) {
    if (code === Code.REPLACED) this.#session = null; // a copy of this tab has it: take a new name
    if (FINAL.includes(code)) {
      this.finish(code, reason);
      return;
    }
    this.#detach();
    const delay = this.#jitter(this.#failures++);
    this.#timers.start("retry", delay, () => this.open());
    this.state = "offline";
    this.#user.offline();
    this.#become("offline", { code, reason, delay });
  }

  /** Have nothing more to do with this socket. */
  #detach() {
    this.#generation += 1;
    this.#timers.clear();
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close(Code.NORMAL);
  }

  // --- the session

  #remembered = null;

  get #session() {
    return this.#remembered ?? this.#inStorage((storage, key) => storage.getItem(key));
  }

  set #session(session) {
    this.#remembered = session;
    this.#inStorage((storage, key) => {
      if (session === null) storage.removeItem(key);
      else storage.setItem(key, session);
    });
  }

  #inStorage(action) {
    if (this.#options.session !== "tab") return null;
    try {
      return action(this.#environment.storage(), `treadle-hub ${this.#url.href}`);
    } catch {
      return null; // forbidden, or full: the name lasts as long as this object
    }
  }

  // --- receiving

  #receive(payload) {
    this.#heard = true;
    this.#timers.stop("probe");
    let frame;
    try {
      frame = this.#codec.decode(payload);
      if (typeof frame?.type !== "string") throw new TypeError("it has no type");
    } catch (error) {
      this.#lose(0, `the hub sent what is no frame: ${error}`);
      return;
    }
    if (frame.type === "welcome") this.#welcome(frame);
    else if (this.state === "online") this.#user.frame(frame);
  }

  #welcome(welcome) {
    this.#timers.stop("connecting");
    this.#timers.start("stable", this.#options.stable, () => {
      this.#failures = 0;
    });
    this.client = welcome.client;
    this.#session = welcome.session;
    this.#ping = welcome.ping * 1000;
    this.#missed = 0;
    this.#startTicking();
    this.state = "online";
    this.#user.online(welcome);
    this.#become("online");
  }

  // --- signs of life

  /**
   * Once in a ping: say that we are here, and notice when nothing is heard.
   *
   * Also when something else was said a moment ago: in a page that is hidden timers may run once a
   * minute only, and the next tick would be too late for the hub.
   */
  #tick() {
    this.#missed = this.#heard ? 0 : this.#missed + 1;
    if (this.#missed > PATIENCE) {
      this.#lose(Code.SILENT, "the server is silent");
      return;
    }
    this.#sendPing();
    this.#startTicking();
  }

  #startTicking() {
    this.#heard = false;
    this.#timers.start("tick", this.#ping, () => this.#tick());
  }

  #sendPing() {
    this.send(this.#codec.encode({ type: "ping" }));
  }

  /** The network changed, or the machine slept: is this connection still one? */
  #probe() {
    if (this.state !== "online" || this.#timers.has("probe")) return;
    this.#sendPing();
    const { timeout } = this.#options;
    this.#timers.start("probe", timeout, () => this.#lose(Code.SILENT, "the server is silent"));
  }

  /** There may be a network now: do not wait any longer. */
  #wake() {
    this.#probe();
    if (this.state !== "offline") return;
    this.#timers.stop("retry");
    this.open();
  }
}

/** A budget of frames: `burst` at once, `rate` a second. */
class Bucket {
  #options;
  #now;
  #level;
  #time;

  constructor(options, { now }) {
    this.#options = options;
    this.#now = now;
    this.#level = options.burst;
    this.#time = now();
  }

  #fill() {
    const now = this.#now();
    const { rate, burst } = this.#options;
    this.#level = Math.min(burst, this.#level + ((now - this.#time) * rate) / 1000);
    this.#time = now;
  }

  take() {
    this.#fill();
    this.#level -= 1;
  }

  /** Milliseconds until a frame may be sent. */
  wait() {
    this.#fill();
    return this.#level >= 1 ? 0 : Math.ceil(((1 - this.#level) * 1000) / this.#options.rate);
  }
}

/** Timers by name, at most one of each. */
class Timers {
  #environment;
  #handles = new Map();

  constructor(environment) {
    this.#environment = environment;
  }

  start(name, delay, callback) {
    this.stop(name);
    const run = () => {
      this.#handles.delete(name);
      callback();
    };
    this.#handles.set(name, this.#environment.setTimeout(run, delay));
  }

  stop(name) {
    if (this.has(name)) this.#environment.clearTimeout(this.#handles.get(name));
    this.#handles.delete(name);
  }

  has(name) {
    return this.#handles.has(name);
  }

  clear() {
    for (const name of [...this.#handles.keys()]) this.stop(name);
  }
}

/** What gives the delay after so many failures: a random part of one that doubles. */
function jitterOf({ minDelay, maxDelay }, { random }) {
  return (failures) => random() * Math.min(maxDelay, minDelay * 2 ** failures);
}

/** What a browser has; other places lack some of it. */
function surroundings() {
  const { WebSocket, document, location } = globalThis;
  return {
    WebSocket,
    setTimeout: (callback, delay) => globalThis.setTimeout(callback, delay),
    clearTimeout: (handle) => globalThis.clearTimeout(handle),
    now: () => performance.now(),
    random: Math.random,
    window: globalThis.addEventListener ? globalThis : undefined,
    document,
    location: location?.href,
    storage: () => globalThis.sessionStorage,
  };
}

/** Listen to several events; what is returned ends it. */
function listen(events) {
  for (const [target, name, callback] of events) target?.addEventListener(name, callback);
  return () => {
    for (const [target, name, callback] of events) target?.removeEventListener(name, callback);
  };
}

/** Call the application. Its failures are its own, and must not leave us half way. */
function call(callback, ...values) {
  try {
    callback?.(...values);
  } catch (error) {
    if (typeof reportError === "function") reportError(error);
    else console.error(error);
  }
}

// --- text and bytes

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });

function hexadecimal(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The value of a token of HTTP, which has neither "=" nor "/". */
function base64url(text) {
  const binary = String.fromCharCode(...utf8.encode(text));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function sizeOf(payload) {
  return typeof payload === "string" ? utf8.encode(payload).length : payload.length;
}

const CODECS = {
  json: {
    encode: (frame) => JSON.stringify(frame, refuseBytes),
    decode: (payload) => JSON.parse(payload),
  },
  msgpack: {
    encode: (frame) => pack(frame),
    decode: (payload) => unpack(new Uint8Array(payload)),
  },
};

function codecOf(protocol) {
  if (!Object.hasOwn(CODECS, protocol)) {
    throw new TypeError(`protocol is "json" or "msgpack", not ${protocol}`);
  }
  return CODECS[protocol];
}

function refuseBytes(_key, value) {
  if (!ArrayBuffer.isView(value) && !(value instanceof ArrayBuffer)) return value;
  throw new TypeError('JSON has no bytes: connect with { protocol: "msgpack" }');
}

// --- MessagePack: what JSON can say, bytes, 64-bit integers, timestamps

/**
 * Encode a value. Numbers without a fraction become integers; what has `toJSON` goes by that.
 *
 * @param {any} value
 * @returns {Uint8Array}
 */
export function pack(value) {
  const packer = new Packer();
  packer.any(value);
  return packer.bytes();
}

/**
 * Decode a value: maps become objects, integers that a number cannot hold `bigint`, timestamps
 * `Date`, and other extensions `{ extension, data }`.
 *
 * @param {Uint8Array} bytes
 * @returns {any}
 */
export function unpack(bytes) {
  const unpacker = new Unpacker(bytes);
  const value = unpacker.any();
  unpacker.insistEnd();
  return value;
}

class Packer {
  #buffer = new Uint8Array(256);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;

  bytes() {
    return this.#buffer.slice(0, this.#length);
  }

  any(value) {
    if (value === null || value === undefined) this.#byte(0xc0);
    else if (typeof value === "boolean") this.#byte(value ? 0xc3 : 0xc2);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "bigint") this.#big(value);
    else if (typeof value === "string") this.#text(value);
    else if (typeof value.toJSON === "function") this.any(value.toJSON());
    else if (Array.isArray(value)) this.#list(value);
    else if (value instanceof ArrayBuffer) this.#binary(new Uint8Array(value));
    else if (ArrayBuffer.isView(value)) {
      this.#binary(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    } else if (typeof value === "object") this.#map(value);
    else throw new TypeError(`a ${typeof value} cannot be sent`);
  }

  /** Where to write so many bytes. Call it first: it may put another buffer in the place of ours. */
  #room(count) {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#buffer.length));
      larger.set(this.#buffer);
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  #byte(value) {
    const at = this.#room(1);
    this.#buffer[at] = value;
  }

  /** A code and a number of 1, 2, 4 bytes. */
  #sized(code, width, value) {
    this.#byte(code);
    const at = this.#room(width);
    if (width === 1) this.#view.setUint8(at, value);
    else if (width === 2) this.#view.setUint16(at, value);
    else this.#view.setUint32(at, value);
  }

  #number(value) {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      this.#byte(0xcb);
      const at = this.#room(8);
      this.#view.setFloat64(at, value);
    } else if (value >= 0) {
      if (value < 0x80) this.#byte(value);
      else if (value < 0x100) this.#sized(0xcc, 1, value);
      else if (value < 0x10000) this.#sized(0xcd, 2, value);
      else if (value < 0x100000000) this.#sized(0xce, 4, value);
      else this.#big(BigInt(value));
    } else if (value >= -0x20) this.#byte(value & 0xff);
    else if (value >= -0x80) this.#sized(0xd0, 1, value);
    else if (value >= -0x8000) this.#sized(0xd1, 2, value);
    else if (value >= -0x80000000) this.#sized(0xd2, 4, value);
    else this.#big(BigInt(value));
  }

  #big(value) {
    if (value < -(2n ** 63n) || value >= 2n ** 64n) throw new RangeError(`${value} has no 64 bits`);
    this.#byte(value < 0n ? 0xd3 : 0xcf);
    const at = this.#room(8);
    this.#view.setBigUint64(at, BigInt.asUintN(64, value));
  }

  #text(value) {
    const bytes = utf8.encode(value);
    if (bytes.length < 32) this.#byte(0xa0 | bytes.length);
    else this.#header(bytes.length, 0xd9, 0xda, 0xdb);
    this.#append(bytes);
  }

  #binary(bytes) {
    this.#header(bytes.length, 0xc4, 0xc5, 0xc6);
    this.#append(bytes);
  }

  #list(values) {
    if (values.length < 16) this.#byte(0x90 | values.length);
    else this.#header(values.length, 0, 0xdc, 0xdd);
    for (const value of values) this.any(value);
  }

  #map(value) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    if (entries.length < 16) this.#byte(0x80 | entries.length);
    else this.#header(entries.length, 0, 0xde, 0xdf);
    for (const [key, item] of entries) {
      this.#text(key);
      this.any(item);
    }
  }

  /** A length, in as few bytes as there is a code for. */
  #header(length, code8, code16, code32) {
    if (length < 0x100 && code8) this.#sized(code8, 1, length);
    else if (length < 0x10000) this.#sized(code16, 2, length);
    else this.#sized(code32, 4, length);
  }

  #append(bytes) {
    const at = this.#room(bytes.length);
    this.#buffer.set(bytes, at);
  }
}

class Unpacker {
  #bytes;
  #view;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  static #codes = {
    0xc0: () => null,
    0xc2: () => false,
    0xc3: () => true,
    0xc4: (self) => self.#take(self.#uint(1)).slice(),
    0xc5: (self) => self.#take(self.#uint(2)).slice(),
    0xc6: (self) => self.#take(self.#uint(4)).slice(),
    0xc7: (self) => self.#extension(self.#uint(1)),
    0xc8: (self) => self.#extension(self.#uint(2)),
    0xc9: (self) => self.#extension(self.#uint(4)),
    0xca: (self) => self.#view.getFloat32(self.#skip(4)),
    0xcb: (self) => self.#view.getFloat64(self.#skip(8)),
    0xcc: (self) => self.#uint(1),
    0xcd: (self) => self.#uint(2),
    0xce: (self) => self.#uint(4),
    0xcf: (self) => small(self.#view.getBigUint64(self.#skip(8))),
    0xd0: (self) => self.#view.getInt8(self.#skip(1)),
    0xd1: (self) => self.#view.getInt16(self.#skip(2)),
    0xd2: (self) => self.#view.getInt32(self.#skip(4)),
    0xd3: (self) => small(self.#view.getBigInt64(self.#skip(8))),
    0xd4: (self) => self.#extension(1),
    0xd5: (self) => self.#extension(2),
    0xd6: (self) => self.#extension(4),
    0xd7: (self) => self.#extension(8),
    0xd8: (self) => self.#extension(16),
    0xd9: (self) => self.#text(self.#uint(1)),
    0xda: (self) => self.#text(self.#uint(2)),
    0xdb: (self) => self.#text(self.#uint(4)),
    0xdc: (self) => self.#list(self.#uint(2)),
    0xdd: (self) => self.#list(self.#uint(4)),
    0xde: (self) => self.#map(self.#uint(2)),
    0xdf: (self) => self.#map(self.#uint(4)),
  };

  any() {
    const code = this.#uint(1);
    if (code < 0x80) return code;
    if (code < 0x90) return this.#map(code & 0x0f);
    if (code < 0xa0) return this.#list(code & 0x0f);
    if (code < 0xc0) return this.#text(code & 0x1f);
    if (code >= 0xe0) return code - 0x100;
    const decode = Unpacker.#codes[code];
    if (decode === undefined) throw new TypeError(`no value begins with ${code}`);
    return decode(this);
  }

  insistEnd() {
    if (this.#at !== this.#bytes.length) throw new TypeError("more follows after the value");
  }

  /** The place of the next bytes, which are passed over. */
  #skip(count) {
    const at = this.#at;
    this.#at += count;
    if (this.#at > this.#bytes.length) throw new TypeError("the value is cut short");
    return at;
  }

  #take(count) {
    const at = this.#skip(count);
    return this.#bytes.subarray(at, at + count);
  }

  #uint(width) {
    const at = this.#skip(width);
    if (width === 1) return this.#view.getUint8(at);
    return width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #text(length) {
    return fromUtf8.decode(this.#take(length));
  }

  #list(length) {
    const list = [];
    for (let index = 0; index < length; index++) list.push(this.any());
    return list;
  }

  #map(length) {
    const map = {};
    for (let index = 0; index < length; index++) {
      const key = this.any();
      const value = this.any();
      if (key !== "__proto__") map[key] = value;
      else Object.defineProperty(map, key, { value, enumerable: true, writable: true, configurable: true });
    }
    return map;
  }

  #extension(length) {
    const extension = this.#view.getInt8(this.#skip(1));
    const data = this.#take(length).slice();
    return extension === -1 ? timestamp(new DataView(data.buffer)) : { extension, data };
  }
}

/** A number, if it can be one exactly. */
function small(big) {
  const number = Number(big);
  return Number.isSafeInteger(number) ? number : big;
}

/** The three forms of a timestamp: seconds; nanoseconds and seconds in 64 bits; the same in 96. */
function timestamp(view) {
  let seconds;
  let nanoseconds = 0;
  if (view.byteLength === 4) {
    seconds = view.getUint32(0);
  } else if (view.byteLength === 8) {
    nanoseconds = view.getUint32(0) >>> 2;
    seconds = (view.getUint32(0) & 3) * 2 ** 32 + view.getUint32(4);
  } else if (view.byteLength === 12) {
    nanoseconds = view.getUint32(0);
    seconds = Number(view.getBigInt64(4));
  } else {
    throw new TypeError("a timestamp has 4, 8 or 12 bytes");
  }
  return new Date(seconds * 1000 + nanoseconds / 1e6);
}
