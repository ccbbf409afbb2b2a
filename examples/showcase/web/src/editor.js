// The editor: a text that everybody in the room writes at once.
//
// The text is a Yjs document. What is typed here goes to the hub as a change, what others typed
// comes from there; on each (re)connect the page and the server tell each other what they lack.

import { defaultKeymap, indentWithTab } from "@codemirror/commands";
import { markdown } from "@codemirror/lang-markdown";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { yCollab, yUndoManagerKeymap } from "y-codemirror.next";
import {
  applyAwarenessUpdate,
  Awareness,
  encodeAwarenessUpdate,
  removeAwarenessStates,
} from "y-protocols/awareness";
import * as Y from "yjs";
import { face, open } from "./page.js";

const GATHER = 40; // milliseconds of typing that make one change
const NOTHING = 2; // bytes of a change that changes nothing
const FROM_HUB = "hub"; // the origin of changes that need not be sent

const $ = (id) => document.getElementById(id);
const name = decodeURIComponent(location.hash.slice(1)) || "notes";
addEventListener("hashchange", () => location.reload());
$("topic").textContent = name;
document.title = `${name} · treadle`;

let gathered = []; // changes that are not yet sent
let unsure = 0; // changes without an answer
let stale = false; // a change was lost: only a sync can mend that
let refusal = ""; // why it was lost
let timer = null;
let offline = true;

const { hub, me } = open("editor", { protocol: "msgpack", onState: connected });
const doc = new Y.Doc();
const text = doc.getText("text");

// --- the text

doc.on("update", (update, origin) => {
  if (origin === FROM_HUB) return;
  gathered.push(update);
  timer ??= setTimeout(send, GATHER);
  showSaved();
});

async function send() {
  timer = null;
  const update = Y.mergeUpdates(gathered);
  gathered = [];
  unsure++;
  try {
    await pad.publish({ do: "change", update });
  } catch (error) {
    stale = true;
    refusal = error.reason;
  }
  unsure--;
  showSaved();
}

let asked = false;

/**
 * Say what is here, and get the rest. The answer comes on this connection or not at all, so it is
 * asked for anew on each.
 */
async function sync() {
  asked = true;
  try {
    await pad.publish({ do: "sync", vector: Y.encodeStateVector(doc) });
  } catch (error) {
    $("saved").textContent = error.reason;
  }
}

const pad = hub.join(`pad:${name}`, {
  onJoined() {
    showFaces();
    sync();
    showCursor();
  },
  onMessage({ data }) {
    Y.applyUpdate(doc, data.update, FROM_HUB);
    if (data.vector) {
      asked = false;
      const lacking = Y.encodeStateAsUpdate(doc, data.vector);
      // what is under way already may be in it again: that does no harm
      if (lacking.length > NOTHING && (stale || unsure + gathered.length === 0)) {
        gathered.push(lacking);
        timer ??= setTimeout(send, GATHER);
      }
      stale = false;
      refusal = "";
    } else if (doc.store.pendingStructs && !asked) {
      sync(); // it builds on something that did not come
    }
    showSaved();
  },
  onGap: sync,
  onPresence({ event, member }) {
    showFaces();
    if (event === "join") showCursor();
    else removeAwarenessStates(awareness, cursorsOf.get(member.client) ?? [], FROM_HUB);
  },
  onRefused: (error) => ($("saved").textContent = error.reason),
});

function connected(state) {
  offline = state !== "online";
  showSaved();
}

function showSaved() {
  const waits = unsure + gathered.length > 0 || stale;
  if (refusal) $("saved").textContent = `Not saved: ${refusal}`;
  else $("saved").textContent = waits ? (offline ? "Kept here, sent later" : "Saving…") : "Saved";
}

// --- the cursors

const awareness = new Awareness(doc);
const cursorsOf = new Map(); // what Yjs calls the clients of the hub
let cursorTimer = null;

awareness.on("update", ({ added, updated }, origin) => {
  if (origin === "local") showCursor();
  else if (origin !== FROM_HUB) cursorsOf.set(origin, [...added, ...updated]);
});

function showCursor() {
  cursorTimer ??= setTimeout(() => {
    cursorTimer = null;
    cursors.publish(encodeAwarenessUpdate(awareness, [doc.clientID]), { volatile: true }).catch(() => {});
  }, GATHER);
}

const cursors = hub.join(`cursors:${name}`, {
  onJoined: showCursor,
  onMessage: ({ sender, data }) => applyAwarenessUpdate(awareness, data, sender),
});

function showFaces() {
  const members = [...pad.members.values()].sort((a, b) => a.info.name.localeCompare(b.info.name));
  $("faces").replaceChildren(...members.slice(0, 8).map(({ info }) => face(info)));
}

awareness.setLocalStateField("user", { name: me.name, color: me.colour, colorLight: `${me.colour}33` });

// --- the paper

const style = HighlightStyle.define([
  { tag: tags.heading1, fontWeight: "700", fontSize: "1.45em" },
  { tag: tags.heading2, fontWeight: "700", fontSize: "1.2em" },
  { tag: tags.heading, fontWeight: "700" },
  { tag: tags.strong, fontWeight: "700" },
  { tag: tags.emphasis, fontStyle: "italic" },
  { tag: [tags.link, tags.url], color: "var(--accent)" },
  { tag: [tags.monospace, tags.quote], color: "var(--good)" },
  { tag: tags.processingInstruction, color: "var(--quiet)" },
]);

const undoManager = new Y.UndoManager(text);
const view = new EditorView({
  parent: $("paper"),
  state: EditorState.create({
    doc: text.toString(),
    extensions: [
      keymap.of([...yUndoManagerKeymap, ...defaultKeymap, indentWithTab]),
      drawSelection(),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": "The text", spellcheck: "true" }),
      placeholder("Write something. Whoever opens this page writes with you."),
      markdown(),
      syntaxHighlighting(style),
      yCollab(text, awareness, { undoManager }),
    ],
  }),
});
if (matchMedia("(pointer: fine)").matches) view.focus();

$("open-text").onsubmit = (event) => {
  event.preventDefault();
  const chosen = $("text-name").value.trim().toLowerCase();
  if (chosen) location.hash = encodeURIComponent(chosen);
};
