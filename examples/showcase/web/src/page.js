// What all pages share: the bar, who you are, and the connection to the hub.

import { connect } from "/treadle-hub.js";

export const COLOURS = ["#c2553a", "#b7791f", "#4d7c3a", "#2b7a78", "#3a6bc2", "#7654b8", "#b84f86"];
const FIRST = ["Calm", "Brisk", "Clever", "Gentle", "Merry", "Quiet", "Swift", "Sunny", "Bold", "Wise"];
const LAST = ["Heron", "Otter", "Finch", "Badger", "Lynx", "Marten", "Plover", "Hare", "Wren", "Seal"];
const TABS = { chat: "Chat", game: "Game", editor: "Editor", stats: "Stats" };
const STATES = {
  connecting: "connecting",
  online: "online",
  offline: "no connection",
  closed: "closed",
};

/** Any of a list. */
export const any = (list) => list[Math.floor(Math.random() * list.length)];

/** An element: `make("p", { className: "quiet" }, "text", child)`. Text is never taken for HTML. */
export function make(tag, properties = {}, ...children) {
  const { dataset, style, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(style ?? {})) element.style.setProperty(name, value);
  element.append(...children);
  return element;
}

/** The first letters of a name, on its colour. */
export function face({ name, colour }) {
  const initials = name.split(" ").map((word) => [...word][0]).slice(0, 2).join("");
  return make("span", { className: "face", style: { background: colour }, title: name }, initials);
}

/** Draw the bar, and connect. `options` go to `connect`. */
export function open(active, options = {}) {
  const me = whoAmI();
  const state = make("span", { className: "state", role: "status", id: "state" });
  document.body.prepend(bar(active, me, state));
  const query = new URLSearchParams(me);
  const hub = connect(`/hub?${query}`, {
    session: "tab",
    minDelay: 200,
    maxDelay: 5000,
    ...options,
    onState(name, detail) {
      state.dataset.state = name;
      state.textContent = STATES[name];
      if (name === "closed") state.textContent = detail.reason || "closed";
      options.onState?.(name, detail);
    },
  });
  return { hub, me };
}

function whoAmI() {
  const me = {
    name: localStorage.getItem("name") ?? `${any(FIRST)} ${any(LAST)}`,
    colour: localStorage.getItem("colour") ?? any(COLOURS),
  };
  remember(me);
  return me;
}

function remember({ name, colour }) {
  localStorage.setItem("name", name);
  localStorage.setItem("colour", colour);
}

function bar(active, me, state) {
  const brand = make("a", { className: "brand", href: "/" });
  brand.innerHTML = `<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.2"
    stroke-linecap="round" aria-hidden="true"><circle cx="12" cy="12" r="9"/>
    <circle cx="12" cy="12" r="1.6" fill="currentColor"/>
    <path d="M12 3v6M12 15v6M3 12h6M15 12h6"/></svg>treadle`;
  const tabs = Object.entries(TABS).map(([name, title]) => {
    const tab = make("a", { href: `/${name}` }, title);
    if (name === active) tab.setAttribute("aria-current", "page");
    return tab;
  });
  const button = make("button", { className: "me", id: "me", title: "Change your name" });
  button.append(face(me), make("span", {}, me.name));
  button.onclick = () => ask(me);
  const nav = make("nav", { className: "tabs", ariaLabel: "Applications" }, ...tabs);
  return make("header", { className: "bar" }, brand, nav, state, button);
}

/** Let them change name and colour. The page begins anew with them. */
function ask(me) {
  const name = make("input", {
    className: "field",
    id: "name",
    value: me.name,
    maxLength: 24,
    required: true,
    autocomplete: "off",
    ariaLabel: "Your name",
  });
  const colours = COLOURS.map((colour) => {
    const choice = make("input", { type: "radio", name: "colour", value: colour });
    choice.checked = colour === me.colour;
    choice.ariaLabel = colour;
    return make("label", {}, choice, make("span", { style: { background: colour, color: colour } }));
  });
  const form = make(
    "form",
    { method: "dialog" },
    make("h2", {}, "Who are you?"),
    make("p", { className: "quiet" }, "Others see this name and colour."),
    name,
    make("div", { className: "colours" }, ...colours),
    make("button", { className: "button" }, "That is me"),
  );
  const dialog = make("dialog", {}, form);
  document.body.append(dialog);
  form.onsubmit = () => {
    const chosen = new FormData(form).get("colour") ?? me.colour;
    remember({ name: name.value.trim() || me.name, colour: chosen });
    sessionStorage.clear(); // another person, another client
    location.reload();
  };
  dialog.onclose = () => dialog.remove();
  dialog.showModal();
  name.select();
}
