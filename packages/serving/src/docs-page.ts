import { createHash } from "node:crypto";

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#d8dde3, #333a42); --soft: light-dark(#f5f7f9, #1b2026);
  --text: light-dark(#1c2329, #e4e8ec); --dim: light-dark(#5b6670, #98a3ad); --accent: light-dark(#0b6e63, #4cc4b4);
  --bad: light-dark(#b3261e, #ff8a80); --page: light-dark(#fff, #12161a); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; } h2 { margin: 2.5rem 0 .75rem; font-size: 1.15rem; }
p { margin: .35rem 0; } .dim { color: var(--dim); } code, pre, textarea, input { font: 14px/1.5 ui-monospace, monospace; }
pre, textarea, input { width: 100%; padding: .7rem .85rem; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--soft); color: inherit; margin: 0; } pre { overflow-x: auto; white-space: pre-wrap; word-break: break-word; }
textarea { min-height: 9rem; resize: vertical; } label { display: block; margin: .75rem 0 .25rem; font-weight: 600; }
button { margin-top: .85rem; padding: .55rem 1.3rem; border: 0; border-radius: .5rem; background: var(--accent);
  color: var(--page); font: 600 15px system-ui, sans-serif; cursor: pointer; } button:disabled { opacity: .5; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { width: 100%; border-collapse: collapse; } th, td { padding: .4rem .6rem .4rem 0; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; } th { font-size: .85rem; color: var(--dim); font-weight: 600; }
details { border-bottom: 1px solid var(--line); padding: .55rem 0; } summary { cursor: pointer; }
.method { display: inline-block; min-width: 3.4rem; color: var(--accent); font: 600 14px ui-monospace, monospace; }
.ok { color: var(--accent); } .bad { color: var(--bad); } #status { min-height: 1.6rem; margin-top: .75rem; }
`;

/** Runs in the browser. Text from the document enters the page as text only, never as markup. */
const SCRIPT = `
const byId = (id) => document.getElementById(id);
const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const pretty = (value) => JSON.stringify(value, null, 2);
const typeOf = (schema) => {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const options = schema.anyOf || schema.oneOf;
  if (options) return options.map(typeOf).join(" | ");
  if (schema.type === "array") return typeOf(schema.items || {}) + "[]";
  return [].concat(schema.type || "any").join(" | ");
};
const example = (schema) => {
  if (schema.default !== undefined) return schema.default;
  if (schema.examples) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const options = schema.anyOf || schema.oneOf;
  if (options) return example(options[0]);
  switch ([].concat(schema.type)[0]) {
    case "object": return Object.fromEntries(Object.entries(schema.properties || {})
      .filter(([name, field]) => (schema.required || []).includes(name) || field.default !== undefined)
      .map(([name, field]) => [name, example(field)]));
    case "array": return [];
    case "number": case "integer": return schema.minimum ?? 0;
    case "boolean": return false;
    case "null": return null;
    default: return "";
  }
};
const limits = (schema) => ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "format", "minItems", "maxItems"]
  .filter((key) => schema[key] !== undefined && Math.abs(schema[key]) !== Number.MAX_SAFE_INTEGER)
  .map((key) => key + " " + schema[key]).join(", ");
const fields = (schema) => {
  const rows = Object.entries(schema.properties || {}).map(([name, field]) => element("tr", {},
    element("td", {}, element("code", {}, name)),
    element("td", {}, element("code", {}, typeOf(field))),
    element("td", {}, field.default !== undefined ? "default " + JSON.stringify(field.default)
      : (schema.required || []).includes(name) ? "required" : "optional"),
    element("td", {}, [field.description, limits(field)].filter(Boolean).join(" · "))));
  if (rows.length === 0) return element("p", { class: "dim" }, "None.");
  const head = element("tr", {}, ...["Name", "Type", "", "Meaning"].map((text) => element("th", {}, text)));
  return element("table", {}, head, ...rows);
};
const route = (path, method, operation) => element("details", {},
  element("summary", {}, element("span", { class: "method" }, method.toUpperCase()), " ", element("code", {}, path), " ",
    element("span", { class: "dim" }, operation.summary || "")),
  element("table", {}, ...Object.entries(operation.responses).map(([status, answer]) => element("tr", {},
    element("td", {}, element("code", {}, status)), element("td", {}, answer.description)))));
const show = (document_) => {
  const { schemas, securitySchemes } = document_.components;
  document.title = document_.info.title;
  byId("title").textContent = document_.info.title;
  byId("summary").textContent = document_.info.description || document_.info.summary;
  byId("revision").textContent = document_.info.version;
  byId("key-row").hidden = securitySchemes === undefined;
  byId("body").value = pretty({ parameters: example(schemas.Parameters) });
  byId("parameters").replaceChildren(fields(schemas.Parameters));
  byId("outputs").replaceChildren(fields(schemas.Outputs));
  byId("schemas").textContent = pretty({ parameters: schemas.Parameters, outputs: schemas.Outputs });
  byId("routes").replaceChildren(...Object.entries(document_.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => route(path, method, operation))));
};
const authorization = () => byId("key").value === "" ? {} : { authorization: "Bearer " + byId("key").value };
const load = async () => {
  const answer = await fetch("openapi.json", { headers: authorization() });
  if (!answer.ok) throw new Error("openapi.json answered " + answer.status);
  show(await answer.json());
};
byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = byId("send");
  button.disabled = true;
  byId("status").textContent = "…";
  const begun = performance.now();
  try {
    const answer = await fetch("invoke", { method: "POST", body: byId("body").value,
      headers: { "content-type": "application/json", ...authorization() } });
    const text = await answer.text();
    byId("status").className = answer.ok ? "ok" : "bad";
    byId("status").textContent = answer.status + " in " + Math.round(performance.now() - begun) + " ms";
    try { byId("answer").textContent = pretty(JSON.parse(text)); } catch { byId("answer").textContent = text; }
  } catch (error) {
    byId("status").className = "bad";
    byId("status").textContent = String(error);
  } finally { button.disabled = false; }
});
load().catch((error) => { byId("status").className = "bad"; byId("status").textContent = String(error); });
`;

const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Service</title><style>${STYLE}</style></head>
<body>
<header><h1 id="title">…</h1><p id="summary" class="dim"></p>
<p class="dim">Revision <code id="revision"></code> · <a href="openapi.json">openapi.json</a></p></header>
<main>
<h2>Try it</h2>
<form id="form">
<div id="key-row" hidden><label for="key">Key</label><input id="key" type="password" autocomplete="off"
 placeholder="Empty: the key that opened this page"></div>
<label for="body">Body of POST /invoke</label><textarea id="body" spellcheck="false">{}</textarea>
<button id="send">Run</button>
</form>
<p id="status" role="status"></p><pre id="answer" aria-label="Answer">The answer comes here.</pre>
<h2>Parameters</h2><div id="parameters"></div>
<h2>Outputs</h2><div id="outputs"></div>
<details><summary>JSON Schemas</summary><pre id="schemas"></pre></details>
<h2>Routes</h2><div id="routes"></div>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;

/** A page that shows `/openapi.json` and calls `/invoke`. It loads nothing from anywhere else. */
export function docsPage(): string {
  return PAGE;
}

/** Allows the page its own script and style and this service, and nothing else. */
export function docsHeaders(): readonly string[] {
  const policy = [
    "default-src 'none'",
    `script-src '${integrity(SCRIPT)}'`,
    `style-src '${integrity(STYLE)}'`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return ["Content-Security-Policy", policy.join("; "), "Referrer-Policy", "no-referrer"];
}

function integrity(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
