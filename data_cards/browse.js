"use strict";
// Pages of `faithful browse`. Data comes in scripts that call `loaded`: a page opened from a disk may fetch nothing else.
// Whatever stands in a corpus goes into the page as text content, never as HTML.
const data = new Map();
const waiting = new Map();
const page = document.getElementById("page");
const ROWS = 50;
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LEVELS = 4095;
const MANY = 20000;
const COLUMNS = [
  ["density", "on text", percent, "Share of the tokens of text on which it fires"],
  ["noise", "on noise", percent, "Share of random tokens on which it fires"],
  ["max", "largest", number, "Largest activation on text"],
  ["stable", "reappears", percent, "Share of the other seeds in which its partner has a cosine above 0.7"],
  ["best", "best cosine", number, "Largest cosine with a partner in another SAE"],
  ["fake", "fake", yes, "Fires on random tokens, hardly on text"],
  ["detection", "explained", number, "How well the explanation tells where it fires: 0.5 by chance, at most 1"],
  ["weight", "probe weight", percent, "Its share of the weight of a probe, mean over tasks"],
];
const state = { sae: "", query: "", sort: "density", descending: true, first: 0 };
let strings = new Map();
let asked = 0;

function loaded(name, value) {
  data.set(name, value);
}

function load(name) {
  if (data.has(name)) return Promise.resolve(data.get(name));
  if (!waiting.has(name)) {
    waiting.set(name, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `data/${name}.js`;
      script.onload = () => resolve(data.get(name));
      script.onerror = () => reject(new Error(`data/${name}.js is missing; copy the whole folder.`));
      document.head.append(script);
    }));
  }
  return waiting.get(name);
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function number(value) { return value === null || value === undefined ? "–" : String(Number(value.toPrecision(3))); }
function percent(value) { return value === null || value === undefined ? "–" : `${number(100 * value)} %`; }
function yes(value) { return value === null || value === undefined ? "–" : value ? "fake" : "no"; }
function string(id) { return strings.get(id) ?? `#${id}`; }
function explanation(list, latent) { return list.explanations[latent] ?? ""; }
function token(id) { return make("span", { class: "token" }, string(id).replace(/\n/g, "↵")); }
function title(sae, latent) { return `${data.get("run").saes[sae].name}, latent ${latent}`; }
function link(sae, latent, text) { return make("a", { href: `#${sae}/${latent}` }, text ?? title(sae, latent)); }

function columns() {
  const lists = data.get("run").saes.map((_, sae) => data.get(String(sae))).filter(Boolean);
  return COLUMNS.filter(([name]) => lists.some((list) => name in list));
}

// The list: all latents that fit the search, sorted, a screen of them at a time.

function matches() {
  const run = data.get("run");
  const query = state.query.trim();
  const ids = new Set();
  const wanted = query.toLowerCase();
  if (query) for (const [id, text] of strings) if (text.toLowerCase().includes(wanted)) ids.add(id);
  const found = [];
  run.saes.forEach((sae, place) => {
    const list = data.get(String(place));
    if (!list || (state.sae !== "" && place !== Number(state.sae))) return;
    const values = list[state.sort];
    for (let latent = 0; latent < sae.latents; latent++) {
      const fits = !query || String(latent) === query
        || list.tokens[latent].some((id) => ids.has(id)) || list.raised[latent].some((id) => ids.has(id))
        || explanation(list, latent).toLowerCase().includes(wanted);
      if (fits) found.push([place, latent, values ? values[latent] : null]);
    }
  });
  const sign = state.descending ? -1 : 1;
  found.sort((a, b) => (a[2] === null) - (b[2] === null) || sign * (a[2] - b[2]) || a[0] - b[0] || a[1] - b[1]);
  return found;
}

function header() {
  const run = data.get("run");
  const missing = run.missing.map(([what, command]) =>
    make("p", { class: "warn" }, `Not here yet: ${what}; `, make("code", {}, command), " and then ", make("code", {}, "faithful browse"), " add it."));
  const about = `${run.model}${run.load ? ` quantised to ${run.load}` : ""}, ${run.hook}: ${run.saes.length} SAEs on ${run.tokens[0].toLocaleString("en")} tokens of`
    + ` held-out text of ${run.parts.join(", ")}, and on ${run.tokens[1].toLocaleString("en")} random ones.`;
  return [make("h1", {}, `Every latent of ${run.name}`), make("p", { class: "soft" }, about), ...missing];
}

function table(found) {
  const shown = columns();
  const head = shown.map(([name, text, , explained]) => {
    const direction = state.sort === name ? (state.descending ? "descending" : "ascending") : undefined;
    const sort = () => {
      state.descending = state.sort === name ? !state.descending : true;
      state.sort = name;
      state.first = 0;
      list();
    };
    return make("th", { scope: "col", "aria-sort": direction }, make("button", { title: explained, onclick: sort, id: `sort-${name}` }, text));
  });
  const body = found.slice(state.first, state.first + ROWS).map(([sae, latent]) => {
    const of = data.get(String(sae));
    return make("tr", {}, make("td", {}, link(sae, latent)),
      ...shown.map(([name, , format]) => make("td", {}, format(of[name] ? of[name][latent] : null))),
      make("td", { class: "words" }, ...of.tokens[latent].map(token)),
      make("td", { class: "words" }, ...of.raised[latent].map(token)));
  });
  return make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "latent"), ...head,
    make("th", { scope: "col", class: "words" }, "strongest on"), make("th", { scope: "col", class: "words" }, "raises"))), make("tbody", {}, ...body));
}

function list() {
  const found = matches();
  const results = document.getElementById("results");
  const focused = document.activeElement?.id;
  const last = Math.min(state.first + ROWS, found.length);
  const turn = (by) => () => { state.first += by * ROWS; list(); };
  results.replaceChildren(
    make("div", { class: "controls" },
      make("span", { class: "soft", role: "status" }, found.length ? `${state.first + 1}–${last} of ${found.length.toLocaleString("en")} latents` : "No latent fits."),
      make("button", { onclick: turn(-1), disabled: state.first === 0, id: "earlier" }, "Earlier"),
      make("button", { onclick: turn(1), disabled: last >= found.length, id: "later" }, "Later")),
    make("div", { class: "scroll", tabindex: "0" }, table(found)));
  if (focused) document.getElementById(focused)?.focus();
}

async function showList(mine) {
  const run = data.get("run");
  const all = run.saes.reduce((sum, sae) => sum + sae.latents, 0) <= MANY;
  if (!all && state.sae === "") state.sae = "0";
  await Promise.all(run.saes.map((_, sae) => sae).filter((sae) => all || sae === Number(state.sae)).map((sae) => load(String(sae))));
  if (mine !== asked) return;
  const choose = (event) => { state.sae = event.target.value; state.first = 0; show(); };
  const search = (event) => { state.query = event.target.value; state.first = 0; list(); };
  const options = run.saes.map((sae, place) => make("option", { value: place, selected: state.sae === String(place) }, `${sae.name}, ${sae.shape}`));
  document.title = `Every latent of ${run.name}`;
  page.replaceChildren(...header(),
    make("div", { class: "controls" },
      make("label", {}, "SAE", make("select", { id: "sae", onchange: choose }, all ? make("option", { value: "" }, "all") : null, ...options)),
      make("label", {}, "Token, or number of a latent", make("input", { id: "query", type: "search", value: state.query, oninput: search }))),
    make("div", { id: "results" }));
  list();
}

// A latent.

function activations(record, codes) {
  const values = new Map();
  for (let at = 0; at < codes.length; at += 3) {
    const level = DIGITS.indexOf(codes[at + 1]) * 64 + DIGITS.indexOf(codes[at + 2]);
    values.set(DIGITS.indexOf(codes[at]), (level / LEVELS) * record.max);
  }
  return values;
}

function context(record, [row, middle, codes]) {
  const { before, after, parts } = data.get("run");
  const text = data.get("text");
  const first = Math.max(1, middle - before);
  const values = activations(record, codes);
  const shown = text.rows[row].slice(first, middle + after).map((id, at) => {
    const value = values.get(at);
    if (value === undefined) return string(id);
    const one = make("b", { title: number(value), class: first + at === middle ? "top" : undefined }, string(id));
    const share = record.max ? value / record.max : 0;
    one.style.backgroundColor = `rgba(209,98,43,${(0.1 + 0.5 * share).toFixed(2)})`;
    return one;
  });
  return make("p", { class: "context" }, ...shown, make("span", { class: "soft" }, `  ${parts[text.parts[row]]}, ${number(values.get(middle - first) ?? 0)}`));
}

function drawn(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function histogram(record, name) {
  const { tokens } = data.get("run");
  const [width, height, base] = [520, 130, 112];
  const least = Math.log10(1 / Math.max(...tokens)) - 0.3;
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Activations of ${name}: share of tokens by activation, on text and on random tokens` });
  const bin = width / record.text.length;
  [["text", 0], ["noise", 1]].forEach(([kind, side]) => record[kind].forEach((count, at) => {
    if (!count) return;
    const share = count / tokens[side];
    const tall = base * (1 - Math.log10(share) / least);
    const bar = drawn("rect", { class: kind, x: at * bin + 1 + side * (bin / 2 - 1), y: base - tall, width: bin / 2 - 1, height: tall });
    bar.append(drawn("title", {}, `${percent(share)} of ${side ? "random tokens" : "text"}`));
    svg.append(bar);
  }));
  svg.append(drawn("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }), drawn("text", { x: 0, y: height - 4 }, "0"),
    drawn("text", { x: width, y: height - 4, "text-anchor": "end" }, number(record.end)));
  return make("figure", {}, svg, make("figcaption", { class: "soft" }, "Share of tokens by activation, on a log scale: ",
    make("span", { class: "key text" }, "text"), " ", make("span", { class: "key noise" }, "random tokens")));
}

function logits(name, [ids, values]) {
  return make("div", {}, make("h3", {}, name), make("table", {}, make("tbody", {},
    ...ids.map((id, at) => make("tr", {}, make("td", {}, token(id)), make("td", {}, number(values[at])))))));
}

function facts(sae, latent, record) {
  const of = data.get(String(sae));
  const run = data.get("run");
  const found = columns().filter(([name]) => name in of).flatMap(([name, , format, explained]) => [make("dt", {}, explained), make("dd", {}, format(of[name][latent]))]);
  record.weights.forEach((weight, at) => found.push(make("dt", {}, `Its share of the probe's weight, ${run.tasks[at]}`), make("dd", {}, percent(weight))));
  return make("dl", {}, ...found);
}

function said(sae, latent) {
  const list = data.get(String(sae));
  const text = explanation(list, latent);
  const doubt = list.explained.includes(latent) ? null : make("span", { class: "soft" }, " (not shown to tell where it fires better than chance: p ≥ 0.05)");
  return text ? make("p", {}, make("strong", {}, "Explanation: "), text, doubt) : null;
}

async function partner([sae, latent, cosine]) {
  const run = data.get("run");
  const here = latent < run.saes[sae].latents;
  const about = make("p", { class: "soft" }, `cosine ${number(cosine)}`);
  if (!here) return make("div", { class: "card" }, make("h3", {}, title(sae, latent)), about);
  const record = (await load(`${sae}-${Math.floor(latent / run.chunk)}`))[latent % run.chunk];
  const [text, noise] = [record.text, record.noise].map((counts, side) => counts.reduce((sum, count) => sum + count, 0) / run.tokens[side]);
  about.append(`, fires on ${percent(text)} of text, ${percent(noise)} of noise`);
  return make("div", { class: "card" }, make("h3", {}, link(sae, latent)), about,
    make("p", {}, ...(record.up ? record.up[0].slice(0, 3) : []).map(token)), ...record.top.slice(0, 3).map((one) => context(record, one)));
}

async function partners(sae, record) {
  const run = data.get("run");
  if (!record.partners.length) return [];
  const cards = await Promise.all(record.partners.map(partner));
  const of = (corpus) => cards.filter((_, at) => run.saes[record.partners[at][0]].corpus === corpus);
  const own = run.saes[sae].corpus;
  const names = [own, ...new Set(run.saes.map((one) => one.corpus).filter((name) => name !== own))];
  return [make("h2", {}, "Its partners in other SAEs"),
    make("p", { class: "soft" }, "The latent of each other SAE that the optimal matching of decoder rows gives it; SAEs that began with the same weights are not compared."),
    ...names.filter((name) => of(name).length).flatMap((name) => [make("h3", {}, name === own ? `${name}, its other SAEs` : name), make("div", { class: "columns" }, ...of(name))])];
}

async function showLatent(sae, latent, mine) {
  const run = data.get("run");
  const [chunk] = await Promise.all([load(`${sae}-${Math.floor(latent / run.chunk)}`), load(String(sae))]);
  const record = chunk[latent % run.chunk];
  const name = title(sae, latent);
  const beside = [latent - 1, latent + 1].map((other, at) => (other < 0 || other >= run.saes[sae].latents ? null : link(sae, other, at ? "next" : "previous")));
  const fifths = record.fifths.map((of, at) => of.length ? make("div", {}, make("h3", {}, ["strongest fifth", "second", "third", "fourth", "weakest fifth"][at]), ...of.map((one) => context(record, one))) : null);
  const others = await partners(sae, record);
  if (mine !== asked) return;
  document.title = name;
  page.replaceChildren(make("p", { class: "controls" }, make("a", { href: "#" }, "all latents"), ...beside), make("h1", {}, name),
    make("p", { class: "soft" }, run.saes[sae].shape), said(sae, latent) ?? "", make("div", { class: "columns" }, facts(sae, latent, record), histogram(record, name)),
    make("h2", {}, "Where it is strongest"),
    ...(record.top.length ? record.top.map((one) => context(record, one)) : [make("p", {}, "It fires nowhere on this text.")]),
    ...(record.up ? [make("h2", {}, "What it adds to the logits"), make("p", { class: "soft" }, "Its decoder row through the final norm and the unembedding."),
      make("div", { class: "columns" }, logits("raises", record.up), logits("lowers", record.down))] : []),
    ...others,
    ...(record.top.length ? [make("h2", {}, "Five fifths of its contexts"), make("p", { class: "soft" }, "All contexts in which it fires, ordered by their largest activation and cut into five; five of each."),
      make("div", { class: "columns" }, ...fifths)] : []));
  window.scrollTo(0, 0);
}

async function show() {
  const mine = ++asked;
  try {
    const [run, text] = await Promise.all([load("run"), load("text")]);
    if (!strings.size) strings = new Map(text.ids.map((id, at) => [id, text.strings[at]]));
    const [sae, latent] = location.hash.slice(1).split("/").map(Number);
    if (location.hash.length > 1 && latent >= 0 && latent < run.saes[sae]?.latents) await showLatent(sae, latent, mine);
    else await showList(mine);
  } catch (error) {
    if (mine === asked) page.replaceChildren(make("p", { class: "warn" }, String(error.message)));
  }
}

window.addEventListener("hashchange", show);
show();
