"use strict";
const $ = id => document.getElementById(id);
const SAMPLES = 60, PAGE = 100, CHANGES = 100, ALARMS = 5;
// Worst first. The first three are trouble.
const STATES = ["refusing", "conflict", "unapplied", "degraded", "suspended", "serving"];
const BROKEN = STATES.slice(0, 3);
const rows = new Map(), history = new Map(), open = new Set();
const only = new Set(), marathons = new Map();
let vips = [], status = null, labels = [], changes = [], shown = PAGE, heard = 0, slow = 0;
let allAlarms = false;

// Everything that comes from outside goes in as text, never as markup.
function put(tag, kind, text) {
  const it = document.createElement(tag);
  if (kind) it.className = kind;
  if (text !== undefined) it.textContent = text;
  return it;
}
function say(it, text) { if (it.textContent !== text) it.textContent = text; }
const many = (n, one, all = one + "s") => `${short(n)} ${n === 1 ? one : all}`;
function short(n) {
  if (n < 10 && n % 1) return n.toFixed(1);
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (n >= size) { const by = unit === "k" ? 1e3 : size; return (n / by).toFixed(n / by < 100 ? 1 : 0) + unit; }
  }
  return Math.round(n).toLocaleString("en");
}
function ago(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}
const since = at => ago((Date.now() - Date.parse(at)) / 1000);
const name = vip => `${vip.vip}/${vip.protocol}`;
const title = vip => vip.name ? `${vip.name} ${name(vip)}` : name(vip);

// The rate is that of the counter between two looks: the kernel's own is an average. Two looks in
// one second may be of one reading.
let sampled = 0;
function sample(now) {
  if (now - sampled < 1500) return;
  sampled = now;
  for (const vip of vips) {
    const key = name(vip), total = vip.stats ? vip.stats.connections : null;
    const past = history.get(key) || { total: null, at: 0, rates: [] };
    if (total !== null && past.total !== null && now > past.at && total >= past.total) {
      past.rates.push((total - past.total) * 1000 / (now - past.at));
      if (past.rates.length > SAMPLES) past.rates.shift();
    }
    past.total = total; past.at = now;
    history.set(key, past);
  }
  const there = new Set(vips.map(name));
  for (const key of history.keys()) if (!there.has(key)) history.delete(key);
}
const rate = vip => (history.get(name(vip))?.rates ?? []).at(-1) ?? 0;

// The text that a search looks through; made once for each answer.
const texts = new WeakMap();
function textOf(vip) {
  if (texts.has(vip)) return texts.get(vip);
  const text = [title(vip), vip.dns, vip.state, ...vip.apps, ...vip.problems,
    ...vip.backend.flatMap(b => [`${b.ip}:${b.port}`, b.app, b.task, b.state, b.health, b.reason]),
    ...vip.left_out.flatMap(out => [out.app, out.task, out.reason])].join(" ").toLowerCase();
  texts.set(vip, text);
  return text;
}
const matches = (vip, words) => !words.length || words.every(word => textOf(vip).includes(word));

// What is searched for is in the address, so that it can be sent to somebody.
function remember() {
  const query = new URLSearchParams();
  if ($("search").value) query.set("q", $("search").value);
  if (only.size) query.set("state", [...only].join(","));
  if ($("sort").value !== "trouble") query.set("sort", $("sort").value);
  if ($("rank").value !== "weight") query.set("changes", $("rank").value);
  const text = query.toString();
  window.history.replaceState(null, "", text ? `?${text}` : location.pathname);
}
function recall() {
  const query = new URLSearchParams(location.search);
  $("search").value = query.get("q") ?? "";
  for (const state of (query.get("state") ?? "").split(",")) if (STATES.includes(state)) only.add(state);
  for (const [id, key] of [["sort", "sort"], ["rank", "changes"]]) {
    const value = query.get(key);
    if ([...$(id).options].some(option => option.value === value)) $(id).value = value;
  }
}
function order(a, b) {
  const by = $("sort").value, plain = a.at - b.at;
  if (by === "trouble") return STATES.indexOf(a.vip.state) - STATES.indexOf(b.vip.state) || plain;
  if (by === "rate") return rate(b.vip) - rate(a.vip) || plain;
  if (by === "app") return (a.vip.apps[0] ?? "").localeCompare(b.vip.apps[0] ?? "") || plain;
  return plain;
}

function drawFilter(found) {
  const counts = new Map();
  for (const { vip } of found) counts.set(vip.state, (counts.get(vip.state) ?? 0) + 1);
  const box = $("states");
  if (!box.firstChild) {
    box.append(...STATES.map(state => {
      const it = put("button");
      it.dataset.only = state;
      it.append(put("span", `state is-${state}`));
      it.addEventListener("click", () => { only.has(state) ? only.delete(state) : only.add(state); shown = PAGE; remember(); drawVips(); });
      return it;
    }));
  }
  for (const it of box.children) {
    const state = it.dataset.only, count = counts.get(state) ?? 0;
    it.hidden = !count && !only.has(state);
    it.setAttribute("aria-pressed", String(only.has(state)));
    say(it.firstChild, `${count} ${state}`);
  }
}

function drawVips() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const searched = vips.map((vip, at) => ({ vip, at })).filter(each => matches(each.vip, words));
  drawFilter(searched);
  const found = searched.filter(each => !only.size || only.has(each.vip.state)).sort(order);
  say($("matches"), words.length || only.size ? `${found.length} of ${many(vips.length, "VIP")}` : "");
  const list = $("vips"), wanted = found.slice(0, shown);
  const keys = new Set(wanted.map(each => name(each.vip)));
  for (const [key, row] of rows) if (!keys.has(key)) { row.remove(); rows.delete(key); }
  wanted.forEach(({ vip }, index) => {
    const key = name(vip);
    let row = rows.get(key);
    if (!row) {
      row = $("t-vip").content.firstElementChild.cloneNode(true);
      row.dataset.vip = key;
      row.firstElementChild.addEventListener("click", () => { open.has(key) ? open.delete(key) : open.add(key); drawVips(); });
      rows.set(key, row);
    }
    // Moving the row that has the focus would lose it.
    if (list.children[index] !== row) {
      const focus = document.activeElement;
      list.insertBefore(row, list.children[index] ?? null);
      if (row.contains(focus)) focus.focus();
    }
    drawVip(row, vip, open.has(key));
  });
  $("rest").hidden = found.length <= shown;
  say($("rest"), `${found.length - shown} more`);
  $("no-vips").hidden = found.length > 0;
  say($("no-vips"), vips.length ? "nothing found" : "no app claims a VIP: put a label such as VIP_0: \"3.3.0.6:3306\" on a port of one");
}

function drawVip(row, vip, isOpen) {
  row.dataset.state = vip.state;
  const part = kind => row.querySelector("." + kind);
  const serving = vip.backend.filter(b => b.state === "serving").length;
  const all = vip.backend.length + vip.left_out.length;
  part("state").className = `state is-${vip.state}`;
  const state = part("state"), held = vip.since ? `for ${since(vip.since)}` : "";
  if (!state.firstChild) state.append(put("span"), put("small"));
  say(state.firstChild, vip.state);
  say(state.lastChild, held);
  state.title = vip.since ? `since ${vip.since}` : "";
  say(part("name"), title(vip));
  say(part("apps"), vip.apps.join(", "));
  say(part("count"), `${serving} of ${many(all, "task")}`);
  say(part("rate"), vip.stats ? `${short(rate(vip))}/s` : "");
  const rates = history.get(name(vip))?.rates ?? [], top = Math.max(1, ...rates);
  const first = SAMPLES - rates.length;
  const points = rates.map((value, at) => `${first + at},${(25 - value / top * 23).toFixed(1)}`);
  part("line").querySelector("polyline").setAttribute("points", points.join(" "));
  part("line").querySelector("path").setAttribute("d", points.length > 1 ? `M${first},26 L${points.join(" L")} L${SAMPLES - 1},26 Z` : "");
  part("row").setAttribute("aria-expanded", String(isOpen));
  const more = part("more");
  more.hidden = !isOpen;
  if (!isOpen) { if (more.firstChild) more.replaceChildren(); return; }
  const parts = [];
  if (vip.state === "suspended") parts.push(put("p", "soft", vip.apps.length ? "scaled to 0 instances, so clients are refused" : "no app claims it any more: it goes when its connections have ended"));
  for (const problem of vip.problems) parts.push(put("p", "problem", problem));
  if (all) parts.push(servers(vip));
  const facts = put("p", "facts");
  facts.append(put("span", "", `scheduler ${vip.scheduler ?? "none"}`));
  if (vip.persistence) facts.append(put("span", "", `clients stay ${vip.persistence} s`));
  if (vip.stats) {
    facts.append(put("span", "", many(vip.stats.connections, "connection")),
      put("span", "", `${short(vip.stats.bytes_in)}B in, ${short(vip.stats.bytes_out)}B out`),
      put("span", "", `${short(vip.stats.packets_in)} packets in, ${short(vip.stats.packets_out)} out`));
  }
  facts.append(copier("copy address", vip.vip));
  if (vip.dns ?? vip.name) facts.append(copier("copy name", vip.dns ?? vip.name));
  for (const app of vip.apps) {
    const url = marathonUrl(vip, app);
    if (!url) continue;
    const link = put("a", "link", `${app} in Marathon`);
    link.dataset.control = url;
    link.href = url; link.target = "_blank"; link.rel = "noopener noreferrer";
    facts.append(link);
  }
  parts.push(facts);
  replaceParts(more, parts);
}

// Redraws, and keeps the focus: the control that has it stays where the new parts have the same one.
function replaceParts(more, parts) {
  const focus = more.contains(document.activeElement) ? document.activeElement : null;
  more.replaceChildren(...parts);
  if (!focus) return;
  const same = [...more.querySelectorAll("[data-control]")].find(it => it.dataset.control === focus.dataset.control);
  if (!same) return;
  same.replaceWith(focus);
  focus.focus({ preventScroll: true });
}

function copier(text, value) {
  const it = put("button", "link", text);
  it.dataset.control = `${text} ${value}`;
  it.addEventListener("click", async () => {
    // Only pages of this node itself, or by TLS, have a clipboard.
    try { await navigator.clipboard.writeText(value); } catch { copyBySelection(value); }
    say(it, "copied");
    setTimeout(() => { say(it, text); it.blur(); }, 1200);
  });
  return it;
}
function copyBySelection(value) {
  const it = put("textarea", "", value);
  document.body.append(it);
  it.select();
  document.execCommand("copy");
  it.remove();
}

// The page of an app in its Marathon: where it is known which that is.
function marathonUrl(vip, app) {
  const task = [...vip.backend, ...vip.left_out].find(task => task.app === app && task.source);
  const base = marathons.size === 1 ? [...marathons.values()][0] : task && marathons.get(task.source);
  return base ? `${base}/ui/#/apps/${encodeURIComponent(app)}` : null;
}
function noteMarathons(config) {
  for (const { name: marathon, urls } of config.marathon) {
    const url = URL.parse(urls[0] ?? "");
    const isPlain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password;
    marathons.set(marathon, isPlain ? url.origin + url.pathname.replace(/\/+$/, "") : null);
  }
}

function servers(vip) {
  const table = put("table"), head = put("tr");
  for (const [text, kind] of [["server"], ["state"], ["health", "wide"], ["weight", "n wide"], ["active", "n"], ["task", "wide"]]) head.append(put("th", kind, text));
  table.append(head);
  for (const b of vip.backend) {
    const line = put("tr");
    line.dataset.server = `${b.ip}:${b.port}`;
    line.dataset.state = b.state;
    const weight = b.kernel_weight === b.weight ? `${b.weight}` : `${b.weight} (now ${b.kernel_weight ?? "none"})`;
    const state = put("td");
    state.append(put("span", `state is-${b.state}`, b.drains_for === null ? b.state : `${b.state}, ${ago(b.drains_for)} left`), put("span", "narrow", b.reason));
    line.append(put("td", "mono", `${b.ip.includes(":") ? `[${b.ip}]` : b.ip}:${b.port}`), state,
      put("td", `wide is-${b.health}`, b.health), put("td", "n wide", weight),
      put("td", "n", b.active === null ? "" : short(b.active)), task(b.task, b.reason));
    table.append(line);
  }
  for (const out of vip.left_out) {
    const line = put("tr"), state = put("td");
    line.dataset.state = "left-out";
    state.append(put("span", "state is-left-out", "no server"), put("span", "narrow", out.reason));
    line.append(put("td", "soft", "–"), state, put("td", "wide"), put("td", "n wide"), put("td", "n"), task(out.task, out.reason));
    table.append(line);
  }
  return table;
}
function task(id, reason) {
  const cell = put("td", "task wide");
  cell.append(put("b", "", reason), put("span", "mono", id || "not known"));
  return cell;
}

function drawStatus() {
  const bad = status.unhealthy.length > 0;
  const pill = (id, text, kind) => { $(id).hidden = false; $(id).className = `pill ${kind}`; say($(id), text); };
  pill("mode", status.mode, status.mode === "acting" ? "good" : "warn");
  $("reduced").hidden = !status.data_path?.startsWith("reduced");
  $("reduced").title = status.data_path ?? "";
  const all = Object.values(status.sources);
  $("doubt").hidden = !all.some(s => s.doubt);
  const oldest = Math.max(...all.map(s => s.age_seconds ?? Infinity));
  const lost = all.some(s => s.error || s.stale), streams = all.every(s => s.streaming);
  const age = oldest === Infinity ? "Marathon never read" : `Marathon read ${ago(oldest)} ago`;
  pill("heard", lost ? `out of reach, ${age}` : streams ? "Marathon followed" : `polled, ${age}`, lost ? "bad" : streams ? "good" : "warn");
  $("heard").title = age;
  pill("verdict", bad ? "not healthy" : status.ready ? "ready" : "not ready", bad ? "bad" : status.ready ? "good" : "warn");
  const sources = Object.entries(status.sources).map(([source, s]) => {
    const it = put("li"), top = put("div", "fact");
    it.dataset.source = source;
    const state = s.error ? "out of reach" : s.streaming ? "events are coming" : "no events, polled";
    it.dataset.state = s.error ? "lost" : s.streaming ? "streaming" : "polled";
    top.append(put("b", "", source), put("span", s.error || s.stale ? "remove" : s.streaming ? "add" : "change", state));
    it.append(top, put("div", "why", s.age_seconds === null ? "never read" :
      `${many(s.workloads, "app or pod", "apps and pods")}, read whole ${ago(s.age_seconds)} ago${s.from_disk ? ", from the disk" : ""}`));
    if (s.relay) it.append(put("div", "why", `through relay ${s.relay}`));
    return it;
  });
  $("sources").replaceChildren(...sources);
  const facts = [["data path", status.data_path ?? "not known yet"], ["changes to do", status.unapplied_seconds === null ? "none" : `waiting for ${ago(status.unapplied_seconds)}`]];
  if (status.pending) facts.push(["held back", many(status.pending, "operation")]);
  for (const [address, why] of Object.entries(status.failing)) facts.push([address, why]);
  $("kernel").replaceChildren(...facts.map(([what, text]) => {
    const it = put("li", "fact");
    it.append(put("span", "soft", what), put("span", "", text));
    return it;
  }));
}

function drawAlarms(lost) {
  const alarms = [];
  if (lost) alarms.push(["bad", "No answer.", lost]);
  for (const text of status?.unhealthy ?? []) alarms.push(["bad", "Not healthy.", text]);
  for (const text of status?.not_ready ?? []) alarms.push(["", "Not ready.", text]);
  const broken = Object.entries(status?.sources ?? {}).filter(([, s]) => s.error || s.stale).map(([source]) => source);
  for (const text of status?.notes ?? []) {
    const bad = text.includes("ALARM") || broken.some(source => text.startsWith(source + " "));
    alarms.push([bad ? "bad" : "", bad ? "Marathon." : "", text]);
  }
  // The worst first, and no wall of them.
  alarms.sort((a, b) => (a[0] === "bad" ? 0 : 1) - (b[0] === "bad" ? 0 : 1));
  const hidden = allAlarms ? 0 : Math.max(0, alarms.length - ALARMS);
  if (hidden) alarms.length = ALARMS;
  const box = $("alarms"), key = JSON.stringify(alarms.map(alarm => alarm[2].replace(/\d+ (s|min|h)\b/g, "")).concat(hidden));
  // Said aloud only when there is something new.
  if (box.dataset.key === key) {
    alarms.forEach((alarm, at) => say(box.children[at].lastChild, alarm[2]));
    return;
  }
  box.dataset.key = key;
  box.replaceChildren(...alarms.map(([kind, word, text]) => {
    const it = put("div", `alarm ${kind}`);
    if (word) it.append(put("b", "", word));
    it.append(put("span", "", text));
    return it;
  }));
  if (!hidden) return;
  const rest = put("button", "link", `${hidden} more`);
  rest.addEventListener("click", () => { allAlarms = true; drawAlarms(lost); });
  box.append(rest);
}

function drawLabels() {
  $("refused").hidden = labels.length === 0;
  $("labels").replaceChildren(...labels.map(label => {
    const it = put("li"), top = put("div", "fact");
    it.dataset.verdict = label.verdict;
    top.append(put("span", "mono", `${label.key}=${label.value}`), put("span", label.ok ? "soft" : "remove", label.verdict));
    it.append(top, put("div", "", label.port === null ? label.app : `${label.app}, port ${label.port}`), put("div", "why", label.reason ?? ""));
    return it;
  }));
}

// 0: trouble; 1: what its end users may notice; 2: the rest.
function weigh(change) {
  if (/lost|stale|doubted|refused|^trouble$|^server-refusing/.test(change.what) || change.line.startsWith("refused")) return 0;
  return /^(held|released|observing|ready|add-service|delete-service|delete-server|.*-back$|trouble-over)/.test(change.what) ? 1 : 2;
}
function drawChanges() {
  $("no-changes").hidden = changes.length > 0;
  const drawn = changes.map((change, at) => ({ change, at, weight: weigh(change) }));
  if ($("rank").value === "weight") drawn.sort((a, b) => a.weight - b.weight || a.at - b.at);
  $("changes").replaceChildren(...drawn.map(({ change, weight }) => {
    const it = put("li"), at = put("time", "", since(change.at));
    at.dateTime = change.at; at.title = change.at;
    const is = pattern => pattern.test(change.what);
    const kind = !weight || is(/held|^delete|^unbind/) ? "remove" : is(/^(add|bind|create)/) ? "add" : is(/^(set|raise)/) ? "change" : "soft";
    it.dataset.what = change.what;
    it.append(at, put("span", `mono ${kind}`, change.line));
    return it;
  }));
}

let node = "";
function drawSums() {
  const broken = vips.filter(vip => BROKEN.includes(vip.state)).length;
  const plain = `vipd ${node}`.trim();
  document.title = broken ? `(${broken}) ${plain}` : plain;
  const all = vips.flatMap(vip => vip.backend);
  say($("n-vips"), short(vips.length));
  say($("n-servers"), short(all.filter(b => b.state === "serving").length));
  say($("n-draining"), short(all.filter(b => b.state === "draining").length));
  say($("n-rate"), short(vips.reduce((sum, vip) => sum + rate(vip), 0)));
  say($("n-refused"), short(labels.filter(label => !label.ok).length));
}

async function get(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(8000) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ?? answer.statusText);
  return body;
}

let timer = 0, busy = false;
async function look() {
  clearTimeout(timer);
  if (busy) return;
  busy = true;
  const began = performance.now();
  let lost = "";
  try {
    status = await get("/v1/status");
    heard = Date.now();
    [vips, labels] = await Promise.all([get("/v1/vips"), get("/v1/labels")]);
    sample(performance.now());
  } catch (error) {
    lost = status && Date.now() - heard < 4000 ? error.message : `the agent doesn't answer (${error.message}); forwarding goes on without it`;
  }
  drawAlarms(lost);
  if (status) { drawStatus(); drawVips(); drawLabels(); drawSums(); drawChanges(); }
  // A table that takes long to read is looked at less often.
  slow = performance.now() - began;
  busy = false;
  timer = setTimeout(look, document.hidden ? 15000 : Math.max(2000, 10 * slow));
}
function soon() { clearTimeout(timer); timer = setTimeout(look, Math.max(150, slow)); }

function follow() {
  const stream = new EventSource("/v1/events");
  stream.addEventListener("change", event => {
    const change = JSON.parse(event.data);
    // An agent that was started anew counts from 1 again.
    if (changes.length && change.number <= changes[0].number) changes = [];
    changes.unshift(change);
    changes.length = Math.min(changes.length, CHANGES);
    soon();
  });
}

setInterval(() => say($("age"), heard ? `as of ${ago((Date.now() - heard) / 1000)} ago` : "connecting"), 1000);
$("search").addEventListener("input", () => { shown = PAGE; remember(); drawVips(); });
$("sort").addEventListener("change", () => { remember(); drawVips(); });
$("rank").addEventListener("change", () => { remember(); drawChanges(); });
$("rest").addEventListener("click", () => { shown += 5 * PAGE; drawVips(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
document.addEventListener("keydown", event => {
  const search = $("search"), typing = document.activeElement === search;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { search.value = ""; only.clear(); search.blur(); shown = PAGE; remember(); drawVips(); return; }
  if (event.key === "/" && !typing) { search.focus(); event.preventDefault(); return; }
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (!step || (typing && event.key.length === 1) || document.activeElement.tagName === "SELECT") return;
  const all = [...document.querySelectorAll(".row")], at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step];
  if (next) { next.focus(); event.preventDefault(); }
});
get("/v1/config").then(config => {
  node = config.node.name;
  say($("node"), node);
  say($("version"), `vipd ${config.version}`);
  noteMarathons(config);
  drawSums();
  drawVips();
}).catch(() => {});
recall();
look();
follow();
