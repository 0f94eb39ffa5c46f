"use strict";
// The list of attempts, and one attempt at a time: gold against answer, and its agents' turns.
// Addresses: "#/" is the list, "#/TASK/TRIAL" an attempt, "#/TASK/TRIAL/lead/1.2" one of its agents.
// Everything is put into the page as text (textContent), never as HTML.

const index = JSON.parse(document.getElementById("index").textContent);
const PER_PAGE = 200;
const LONG = 700; // characters: longer texts are folded
const byId = (id) => document.getElementById(id);
const state = { sort: "task", down: false, shown: PER_PAGE, scroll: 0, rows: [] };

const COLUMNS = [
  ["task", "task"], ["score", "score"], ["success", "success"], ["official", "official"], ["rows", "rows"],
  ["supported", "supported"], ["levels", "other cells"], ["subagents", "subagents"], ["turns", "turns"], ["tokens", "tokens"],
  ["seconds", "seconds"], ["status", "status"],
].filter(([name]) => name !== "official" || index.attempts.some((row) => row.official !== null));

function make(tag, properties = {}, ...children) {
  const { className, ...others } = properties;
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(others)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// ------------------------------------------------------------------------------------------------------------ the list

const SHOWN = {
  score: (row) => share(row.score), success: (row) => share(row.success, 0), official: (row) => share(row.official),
  rows: (row) => row.rows ? `${row.rows[0]} of ${row.rows[1]}${row.rows[2] ? ` +${row.rows[2]}` : ""}` : "",
  supported: (row) => row.supported === null ? "" : `${Math.round(100 * row.supported)} %`,
  levels: (row) => row.levels === null ? "" : ["mentioned", "unsupported", "empty"]
    .filter((name) => row.levels[name]).map((name) => `${whole(row.levels[name])} ${name}`).join(", "),
  seconds: (row) => row.seconds === null ? "" : row.seconds.toFixed(1),
};

function share(value, digits = 3) {
  return value === null || value === undefined ? "" : value.toFixed(digits);
}

function whole(value) {
  return Number(value).toLocaleString("en");
}

function sortValue(row, name) {
  if (name === "rows") return row.rows ? row.rows[0] / Math.max(1, row.rows[1]) - row.rows[2] * 1e-6 : null;
  if (name === "levels") return row.levels ? row.levels.mentioned + row.levels.unsupported + row.levels.empty : null;
  if (name === "task") return row.task * 10000 + row.trial;
  return row[name];
}

function chosenRows() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const status = byId("status").value;
  const found = index.attempts.filter((row) => {
    const task = index.tasks[row.task];
    const text = `${task.id} ${task.question}`.toLowerCase();
    return (!status || row.status === status) && words.every((word) => text.includes(word));
  });
  const direction = state.down ? -1 : 1;
  return found.sort((a, b) => {
    const [x, y] = [sortValue(a, state.sort), sortValue(b, state.sort)];
    if (x === null || y === null) return (x === null) - (y === null); // what is unknown stands last
    return (x < y ? -1 : x > y ? 1 : 0) * direction || a.task - b.task || a.trial - b.trial;
  });
}

function showList() {
  state.rows = chosenRows();
  const head = COLUMNS.map(([name, label]) => make("th", {
    scope: "col", tabindex: 0, onclick: () => sortBy(name),
    onkeydown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), sortBy(name)),
    "aria-sort": state.sort === name ? (state.down ? "descending" : "ascending") : null,
  }, label));
  byId("list").tHead.replaceChildren(make("tr", {}, ...head));
  byId("list").tBodies[0].replaceChildren(...state.rows.slice(0, state.shown).map(listRow));
  byId("more").hidden = state.rows.length <= state.shown;
  const shown = Math.min(state.shown, state.rows.length);
  byId("count").textContent = `${whole(shown)} of ${whole(state.rows.length)} attempts`;
}

function listRow(row) {
  const task = index.tasks[row.task];
  const name = index.trials > 1 ? `${task.id}, trial\u00a0${row.trial + 1}` : task.id;
  const cells = COLUMNS.slice(1).map(([column]) => {
    const text = SHOWN[column] ? SHOWN[column](row) : typeof row[column] === "number" ? whole(row[column]) : row[column];
    return make("td", { className: column === "status" ? "status" : "number", title: column === "status" ? row.problem : null }, text);
  });
  const first = make("td", { className: "task" }, make("a", { href: addressOf(row) }, name), make("div", {}, task.question));
  return make("tr", { className: row.status.startsWith("unscored") ? "unscored" : "" }, first, ...cells);
}

function sortBy(name) {
  state.down = state.sort === name ? !state.down : !["task", "status"].includes(name);
  state.sort = name;
  showList();
}

function addressOf(row, agent) {
  return `#/${row.task}/${row.trial}${agent ? `/${encodeURI(agent)}` : ""}`;
}

// --------------------------------------------------------------------------------------------------------- one attempt

async function unpack(name) {
  const packed = byId(name);
  if (!packed) return null;
  const bytes = Uint8Array.from(atob(packed.textContent), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

async function showAttempt(number, agent) {
  const row = index.attempts[number], task = index.tasks[row.task];
  const [compared, agents] = await Promise.all([unpack(`c${number}`), unpack(`a${number}`)]);
  const named = (name) => name === "score" ? "success" : name.replaceAll("_", " "); // the published name says little
  const parts = Object.entries(compared.parts).map(([name, value]) => `${named(name)} ${share(value)}`);
  const boxes = [
    navigation(row),
    make("h1", {}, task.id, index.trials > 1 ? `, trial\u00a0${row.trial + 1}` : ""),
    make("p", { className: "question" }, compared.question),
    make("p", { className: "soft" }, [`status: ${row.status}`, ...parts].join(" · ")),
    row.problem ? make("ul", { className: "notes" }, make("li", {}, `No score: ${row.problem}`)) : null,
    compared.note && compared.note !== row.problem ? make("ul", { className: "notes" }, make("li", {}, compared.note)) : null,
    ...(task.kind === "deep" ? shortAnswer(compared, row) : goldAgainstAnswer(compared, row)),
    make("h2", {}, "Answer as given"),
    folded(compared.answer || "(no answer)", 300),
    make("h2", { id: "agents" }, "Agents"),
    agents ? agentTree(agents, row, agent) : make("p", {}, row.agents === false && row.turns
      ? "Their turns are left out to keep this page small: they are in rollouts.jsonl of the run." : "No turns are recorded."),
  ];
  byId("attempt").replaceChildren(...boxes.filter(Boolean));
}

function navigation(row) {
  const at = state.rows.indexOf(row);
  const link = (other, label) => other ? make("a", { href: addressOf(other) }, label) : null;
  const trials = index.attempts.filter((other) => other.task === row.task && other !== row);
  return make("nav", { className: "path" }, make("a", { href: "#/" }, "← all tasks"),
    link(at > 0 ? state.rows[at - 1] : null, "previous"), link(at >= 0 ? state.rows[at + 1] : null, "next"),
    ...trials.map((other) => make("a", { href: addressOf(other) }, `trial ${other.trial + 1} (${share(other.score) || "unscored"})`)));
}

const MARKS = { right: "✓ right", wrong: "✗ wrong", missing: "− missing", invented: "+ invented", gold: "gold", answer: "answer" };

function goldAgainstAnswer(compared, row) {
  if (!compared.columns) return [];
  const head = ["", ...compared.columns].map((name) => make("th", { scope: "col" }, name));
  const body = compared.rows.map((line) => make("tr", {},
    make("td", { className: `state ${line.is}` }, MARKS[line.is]),
    ...line.cells.map((cell, column) => comparedCell(cell, compared.key.includes(column), compared.columns[column], row))));
  const notes = [];
  if (compared.more) notes.push(`${whole(compared.more)} more rows are not shown.`);
  if (compared.unasked.length) notes.push(`Columns that were not asked for, and are not scored: ${compared.unasked.join(", ")}.`);
  const colours = [["right", "right"], ["wrong", "wrong: said, and the gold"], ["missing", "missing row"], ["invented", "invented row"]];
  return [
    make("h2", {}, "Gold against answer"),
    make("p", { className: "key-of-colours" }, ...colours.map(([name, label]) => make("span", { className: name }, label)),
      ...Object.entries(LEVELS).map(([name, meaning]) => make("span", { className: name }, meaning))),
    make("div", { className: "scroll" }, make("table", { className: "compared" },
      make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body))),
    make("p", { className: "note" }, ["Hover or tap a cell for its quote.", ...notes].join(" ")),
  ];
}

function comparedCell(cell, isKey, column, row) {
  const evidence = cell.evidence && cell.evidence.is !== "empty" ? cell.evidence : null;
  const said = make("span", { className: `${cell.said ? "said" : "soft"} ${evidence ? evidence.is : ""}` },
    cell.said || (cell.is === "wrong" ? "(empty)" : cell.gold || ""));
  const gold = cell.is === "wrong" ? make("span", { className: "gold" }, cell.gold || "(empty)") : null;
  const open = () => evidence && showEvidence(cell, column, row);
  return make("td", {
    className: `${cell.is} ${isKey ? "key" : ""}`, tabindex: evidence ? 0 : null, onclick: open,
    onkeydown: (event) => event.key === "Enter" && open(),
    title: evidence && [LEVELS[evidence.is], evidence.quote && `“${evidence.quote}”`, evidence.url,
      behind(evidence)].filter(Boolean).join("\n"),
  }, said, gold);
}

// What is said of a cell that is not supported.
const LEVELS = {
  mentioned: "mentioned: name and value stand together on a page, nothing ties the value to the column",
  unsupported: "unsupported: no page that was read says so",
};

function behind(evidence) {
  return [evidence.tie && `tied by ${evidence.tie}`, evidence.agent && `read by ${evidence.agent}`,
    evidence.verdict && `a model says: ${evidence.verdict}`].filter(Boolean).join(" · ");
}

function shortAnswer(compared, row) {
  const right = row.success === null ? "" : row.success ? "right" : "wrong";
  const cell = { is: right, said: compared.said || "(no boxed answer)", evidence: compared.evidence };
  return [
    make("h2", {}, "Accepted answers against answer"),
    make("table", { className: "compared" }, make("tbody", {},
      make("tr", {}, make("th", { scope: "row" }, "said"), comparedCell(cell, false, "answer", row)),
      make("tr", {}, make("th", { scope: "row" }, "accepted"), make("td", {}, compared.accepted.join(" · "))))),
  ];
}

function showEvidence(cell, column, row) {
  const found = cell.evidence, panel = byId("evidence");
  const close = make("button", { onclick: () => { panel.hidden = true; } }, "close");
  const link = found.url && /^https?:\/\//.test(found.url)
    ? make("a", { href: found.url, rel: "noreferrer noopener", target: "_blank" }, found.url) : found.url;
  panel.replaceChildren(close, make("b", {}, `${column}: ${cell.said || ""}`),
    LEVELS[found.is] ? make("div", {}, LEVELS[found.is]) : "",
    found.quote ? make("div", {}, `“${found.quote}”`) : "",
    found.url ? make("div", { className: "soft" }, link) : "",
    make("div", { className: "soft" }, behind({ ...found, agent: null }), found.tie || found.verdict ? " · " : "",
      ...(found.agent ? ["read by ", row.agents ? make("a", { href: addressOf(row, found.agent) }, found.agent) : found.agent] : [])));
  panel.hidden = false;
}

// -------------------------------------------------------------------------------------------------------------- agents

function agentTree(agents, row, path) {
  const current = agents.find((agent) => agent.path === path) || agents[0];
  const links = agents.map((agent) => make("a", {
    href: addressOf(row, agent.path), className: agent === agents[0] ? "" : "child", "aria-current": agent === current ? "true" : null,
  }, make("b", {}, agent.path), make("span", {}, agent.prompt),
    make("small", {}, `${agent.turns.length} turns · ${whole(agent.tokens)} tokens · ${agent.seconds.toFixed(1)} s · ended by: ${agent.stop || "?"}`)));
  const turns = current.turns.map((turn, number) => turnBox(turn, number, current, agents, row));
  if (current.error) turns.push(make("ul", { className: "notes" }, make("li", {}, current.error)));
  if (current.pending.length) {
    turns.push(make("section", { className: "turn" }, make("h4", {}, "not answered any more"), ...current.pending.map(messageBox)));
  }
  const read = current.read.length
    ? [make("p", { className: "note" }, `pages read: ${current.read.join(" · ")}`)] : [];
  const heading = make("h3", { id: "agent" }, `${current.path} (${current.role})`);
  return make("div", { className: "agents" }, make("nav", { className: "tree", "aria-label": "agents" }, ...links),
    make("div", {}, heading, ...read, ...turns));
}

function turnBox(turn, number, agent, agents, row) {
  const children = agents.filter((other) => other.path.startsWith(`${agent.path}/${number + 1}.`));
  const boxes = turn.told.map(messageBox);
  if (turn.reasoning) boxes.push(box("thought", turn.reasoning));
  if (turn.said) boxes.push(box("said", turn.said, false, 2000));
  for (const call of turn.calls) {
    const called = `${call.name}(${JSON.stringify(call.arguments, null, 1)})`;
    boxes.push(box(call.malformed ? `called, malformed: ${call.malformed}` : "called", called, Boolean(call.malformed)));
  }
  if (turn.truncated) boxes.push(box("cut off by", turn.truncated, true));
  if (children.length) {
    boxes.push(make("div", {}, make("div", { className: "who" }, "started"), ...children.map((child) =>
      make("div", {}, make("a", { href: addressOf(row, child.path) }, child.path), ` ${child.prompt.slice(0, 120)}`))));
  }
  const about = `turn ${number + 1} · ${whole(turn.tokens)} tokens · ${turn.seconds.toFixed(2)} s`;
  return make("section", { className: "turn" }, make("h4", {}, about), ...boxes);
}

function messageBox(message) {
  const who = { system: "told (system)", user: "told", tool: "got from its tool" }[message.role];
  return box(message.error ? `${who}: an error` : who, message.text, message.error, message.role === "system" ? 120 : LONG);
}

function box(who, text, error = false, most = LONG) {
  return make("div", { className: error ? "error" : "" }, make("div", { className: "who" }, who), folded(text, most));
}

function folded(text, most) {
  if (text.length <= most) return make("pre", {}, text);
  const start = text.slice(0, Math.min(most, 160)).split("\n")[0];
  return make("details", {}, make("summary", {}, make("pre", {}, `${start} … (${whole(text.length)} characters)`)), make("pre", {}, text));
}

// ---------------------------------------------------------------------------------------------------------- addresses

async function route() {
  const [, task, trial, ...agent] = decodeURI(location.hash).split("/");
  const number = index.attempts.findIndex((row) => String(row.task) === task && String(row.trial) === trial);
  const detail = number >= 0;
  if (detail && byId("attempt").hidden) state.scroll = window.scrollY;
  byId("evidence").hidden = true;
  if (detail) await showAttempt(number, agent.join("/")).catch(complain);
  byId("attempt").hidden = !detail;
  byId("overview").hidden = detail;
  if (detail && agent.length && byId("agent")) byId("agent").scrollIntoView();
  else window.scrollTo(0, detail ? 0 : state.scroll);
}

function complain(error) {
  byId("attempt").replaceChildren(make("p", {}, make("a", { href: "#/" }, "← all tasks")),
    make("p", {}, `This attempt cannot be shown (${error}). A browser of 2023 or later is needed.`));
}

for (const name of [...new Set(index.attempts.map((row) => row.status))].sort()) {
  byId("status").append(make("option", { value: name }, name));
}
byId("filter").addEventListener("input", () => { state.shown = PER_PAGE; showList(); });
byId("status").addEventListener("change", () => { state.shown = PER_PAGE; showList(); });
byId("more").addEventListener("click", () => { state.shown += PER_PAGE; showList(); });
window.addEventListener("hashchange", route);
showList();
route();
