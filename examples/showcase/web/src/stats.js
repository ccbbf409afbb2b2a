// What each process of the server holds, second by second.

import uPlot from "uplot";
import { make, open } from "./page.js";

const KEPT = 300; // seconds
const HEIGHT = 165;
const GONE = 10; // seconds after which a process that says nothing is not shown

const whole = (value) => (value ?? 0).toLocaleString("en", { maximumFractionDigits: 0 });
const megabytes = (value) => (value == null ? "…" : (value / 2 ** 20).toFixed(1));
const milliseconds = (value) => (value ?? 0).toFixed(1);

const TILES = [
  ["connections", "Connections", whole],
  ["rooms", "Rooms", whole],
  ["delivered", "Delivered", whole, "/s"],
  ["dropped", "Dropped", whole, "/s"],
  ["lag", "Loop lag", milliseconds, "ms"],
  ["memory", "Memory", megabytes, "MiB"],
];

/** Title, and what it shows: name, label, and how far it is from the figure. */
const PLOTS = [
  ["Connections", [["connections", "open"], ["behind", "catching up"]]],
  ["Rooms", [["rooms", "rooms"], ["subscriptions", "subscriptions"]]],
  ["Messages a second", [["delivered", "delivered"], ["published", "published"], ["received", "received"]]],
  ["Queues: frames a second", [["dropped", "dropped"], ["coalesced", "coalesced"], ["gaps", "gaps told"]]],
  ["Loop lag, worst of each second (ms)", [["lag", "lag"]]],
  ["Sent (KiB/s)", [["bytes", "bytes", 1024]]],
];

const $ = (id) => document.getElementById(id);
const nodes = new Map(); // name -> its figures, oldest first
let shown = null;
let plots = [];

// --- what comes

const { hub } = open("stats");
const replay = { until: 0 };
hub.join("pulse", {
  history: 600,
  onMessage({ data }) {
    if (!nodes.has(data.node)) nodes.set(data.node, []);
    const figures = nodes.get(data.node);
    figures.push(data);
    while (figures[0].at < data.at - KEPT) figures.shift();
    shown ??= data.node;
    requestDraw();
  },
});

/** Once for all that came since the last picture. */
function requestDraw() {
  if (replay.until) return;
  replay.until = requestAnimationFrame(() => {
    replay.until = 0;
    draw();
  });
}

// --- what is shown

function draw() {
  const newest = Math.max(...[...nodes.values()].map((figures) => figures.at(-1).at));
  for (const [name, figures] of nodes) if (figures.at(-1).at < newest - GONE) nodes.delete(name);
  if (!nodes.has(shown)) shown = [...nodes.keys()].sort()[0];
  drawNodes();
  drawTiles(nodes.get(shown).at(-1));
  for (const { plot, series } of plots) plot.setData(columns(nodes.get(shown), series));
}

function drawNodes() {
  const names = [...nodes.keys()].sort();
  const buttons = names.map((name, index) => {
    const button = make("button", { role: "tab" }, `Process ${index + 1}`);
    button.ariaSelected = String(name === shown);
    button.onclick = () => {
      shown = name;
      draw();
    };
    return button;
  });
  $("nodes").replaceChildren(...(names.length > 1 ? buttons : []));
}

function drawTiles(figures) {
  for (const [name, , show] of TILES) $(`tile-${name}`).firstChild.data = show(figures[name]);
  const closed = Object.entries(figures.disconnected).map(([code, count]) => `${count} with ${code}`);
  $("foot").textContent = [
    `Backend: ${figures.backend}.`,
    `The longest queue so far: ${whole(figures.high_water)} frames.`,
    `Read out of history for clients: ${whole(figures.recovered)}.`,
    closed.length ? `Connections closed: ${closed.join(", ")}.` : "",
  ].join(" ");
}

/** Columns as uPlot wants them; a second without figures is a hole. */
function columns(figures, series) {
  const times = [];
  const values = series.map(() => []);
  for (const entry of figures) {
    if (times.length && entry.at - times.at(-1) > 3) {
      times.push(times.at(-1) + 1);
      for (const column of values) column.push(null);
    }
    times.push(entry.at);
    series.forEach(([name, , unit = 1], index) => values[index].push(entry[name] / unit));
  }
  return [times, ...values];
}

// --- the plots

function colours() {
  const style = getComputedStyle(document.documentElement);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return {
    series: dark ? ["#f0936a", "#6fb3e0", "#8fc97f"] : ["#b4532a", "#2f6fb0", "#4d7c3a"],
    quiet: dark ? "#969ba6" : "#6a6e76",
    line: dark ? "#2b303a" : "#eceae3",
    font: `12px ${style.fontFamily}`,
  };
}

function compact(value) {
  return value >= 1000 ? `${+(value / 1000).toFixed(1)}k` : String(+value.toFixed(2));
}

function build() {
  const { series: palette, quiet, line, font } = colours();
  for (const { plot } of plots) plot.destroy();
  plots = [];
  $("plots").replaceChildren();
  for (const [title, series] of PLOTS) {
    const key = series.map(([, label], index) =>
      make("span", { style: { "--series": palette[index] } }, label),
    );
    const head = make("header", {}, make("h2", {}, title));
    if (series.length > 1) head.append(make("div", { className: "key" }, ...key));
    const box = make("div");
    const card = make("article", { className: "plot card" }, head, box);
    $("plots").append(card);
    const axis = { stroke: quiet, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const plot = new uPlot(
      {
        width: box.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        padding: [10, 18, 0, 0],
        cursor: { y: false, drag: { x: false, y: false } },
        scales: {
          x: { time: true, range: (_, oldest, newest) => [Math.min(oldest, newest - 60), newest] },
          y: { range: (_, __, most) => [0, Math.max(1, (most ?? 0) * 1.15)] },
        },
        axes: [
          { ...axis, grid: { show: false }, size: 26, incrs: [60], space: 20, values: "{HH}:{mm}" },
          { ...axis, size: 38, space: 34, values: (_, values) => values.map(compact) },
        ],
        series: [
          {},
          ...series.map((_, index) => ({
            stroke: palette[index],
            width: 2,
            points: { show: false },
            fill: index === 0 ? `${palette[0]}22` : undefined,
          })),
        ],
      },
      columns(nodes.get(shown) ?? [], series),
      box,
    );
    plots.push({ plot, series, box });
  }
}

for (const [name, title, , unit] of TILES) {
  const value = make("dd", { id: `tile-${name}` }, "…");
  if (unit) value.append(make("small", {}, ` ${unit}`));
  $("tiles").append(make("dl", { className: "tile card", style: { margin: 0 } }, make("dt", {}, title), value));
}
build();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
new ResizeObserver(() => {
  for (const { plot, box } of plots) plot.setSize({ width: box.clientWidth, height: HEIGHT });
}).observe($("plots"));
