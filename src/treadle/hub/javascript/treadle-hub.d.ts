// Types of treadle-hub.js, where everything is described.

export declare const Code: Readonly<{
  NORMAL: 1000;
  GOING_AWAY: 1001;
  TOO_LARGE: 1009;
  INTERNAL: 1011;
  MALFORMED: 4400;
  UNAUTHENTICATED: 4401;
  FORBIDDEN: 4403;
  UNKNOWN: 4404;
  SILENT: 4408;
  REPLACED: 4409;
  SLOW: 4413;
  FLOODING: 4429;
  UNAVAILABLE: 4503;
}>;
export declare const FINAL: readonly number[];

export declare class HubError extends Error {
  constructor(reason: string, code: number);
  readonly reason: string;
  readonly code: number;
}
export declare class Refused extends HubError {}
export declare class Closed extends HubError {}
export declare class Full extends HubError {}

export type State = "connecting" | "online" | "offline" | "closed";
export type Position = { epoch: string; offset: number };
export type Member = { client: string; info: any };
export type Message<Data = any> = {
  room: string;
  data: Data;
  sender: string | null;
  offset: number;
  key: string | null;
  to: string | null;
};
export type Presence = { room: string; event: "join" | "leave"; member: Member };
export type Gap = { room: string; reason: string; dropped: number; position: Position | null };
export type Joined = {
  room: string;
  position: Position | null;
  recovered: boolean | null;
  reason: string;
  members: Member[] | null;
};
export type Published = { room: string; offset: number };
export type Detail = { code?: number; reason?: string; delay?: number };

export interface JoinOptions<Data = any> {
  history?: number;
  after?: Position;
  onMessage?: (message: Message<Data>) => void;
  onPresence?: (presence: Presence) => void;
  onGap?: (gap: Gap) => void;
  onJoined?: (joined: Joined) => void;
  onRefused?: (error: HubError) => void;
}

export interface PublishOptions {
  key?: string;
  to?: string;
  others?: boolean;
  volatile?: boolean;
}

export interface Environment {
  WebSocket?: any;
  setTimeout?: (callback: () => void, delay: number) => any;
  clearTimeout?: (handle: any) => void;
  now?: () => number;
  random?: () => number;
  window?: any;
  document?: any;
  storage?: () => any;
  location?: string;
}

export interface ConnectOptions {
  protocol?: "json" | "msgpack";
  token?: string | null | (() => string | Promise<string>);
  onState?: (state: State, detail: Detail) => void;
  session?: "memory" | "tab";
  minDelay?: number;
  maxDelay?: number;
  stable?: number;
  timeout?: number;
  maxPending?: number;
  maxPendingBytes?: number;
  rate?: number;
  burst?: number;
  environment?: Environment;
}

export declare class Room {
  private constructor();
  readonly name: string;
  readonly options: JoinOptions;
  readonly position: Position | null;
  readonly members: ReadonlyMap<string, Member>;
  readonly joined: Promise<Joined>;
  publish(data: unknown, options?: PublishOptions): Promise<Published | null>;
  leave(): void;
}

export declare class Hub {
  private constructor();
  readonly state: State;
  readonly client: string | null;
  join<Data = any>(name: string, options?: JoinOptions<Data>): Room;
  publish(room: string, data: unknown, options?: PublishOptions): Promise<Published | null>;
  members(room: string): Promise<Member[]>;
  close(): void;
}

export declare function connect(url: string, options?: ConnectOptions): Hub;
export declare function pack(value: unknown): Uint8Array;
export declare function unpack(bytes: Uint8Array): any;
