/**
 * The script of the page at `/docs`. Text from the document enters the page as text only, never as markup. The request's
 * body is the text of one field; the fields of the parameters write into it and are read back from it.
 */
export const SCRIPT = `
"use strict";
const byId = (id) => document.getElementById(id);
const make = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== undefined));
  return made;
};
const pretty = (value) => JSON.stringify(value, null, 2);
// The address without a user and password that may stand in it: fetch refuses those.
const address = (path) => new URL(path, location.origin + location.pathname).href;

// Schemas

const resolved = (schema, root) => {
  let found = schema === true ? {} : schema;
  for (let hops = 0; typeof found.$ref === "string" && found.$ref.startsWith("#") && hops < 9; hops++)
    found = found.$ref.split("/").slice(1).reduce((at, key) => at && at[key.replaceAll("~1", "/").replaceAll("~0", "~")], root) || {};
  return found;
};
const typesOf = (schema) => [].concat(schema.type ?? []);
const nameOfType = (schema, root, depth = 0) => {
  const inner = resolved(schema, root);
  if (inner.const !== undefined) return JSON.stringify(inner.const);
  if (inner.enum) return inner.enum.map((value) => JSON.stringify(value)).join(" | ");
  const options = inner.anyOf || inner.oneOf;
  if (options && depth < 4) return [...new Set(options.map((option) => nameOfType(option, root, depth + 1)))].join(" | ");
  if (inner.type === "array" && inner.items && depth < 4) return "array of " + nameOfType(inner.items, root, depth + 1);
  return typesOf(inner).join(" | ") || "any";
};
const LIMITS = { minimum: "at least", exclusiveMinimum: "more than", maximum: "at most", exclusiveMaximum: "less than", multipleOf: "a multiple of",
  minLength: "characters at least", maxLength: "characters at most", minItems: "items at least", maxItems: "items at most", pattern: "pattern", format: "format" };
const limitsOf = (schema) => Object.entries(LIMITS)
  .filter(([key]) => schema[key] !== undefined && Math.abs(schema[key]) !== Number.MAX_SAFE_INTEGER)
  .map(([key, text]) => text + " " + schema[key]).join(", ");
const meaningOf = (schema) => [schema.description, limitsOf(schema)].filter(Boolean).join(" · ");
const isRequired = (schema, name) => (schema.required || []).includes(name) && schema.properties[name].default === undefined;
const example = (schema, root) => {
  const inner = resolved(schema, root);
  for (const known of [inner.default, inner.examples?.[0], inner.const, inner.enum?.[0]]) if (known !== undefined) return known;
  const options = inner.anyOf || inner.oneOf;
  if (options) return example(options[0], root);
  switch (typesOf(inner)[0]) {
    case "object": return Object.fromEntries(Object.entries(inner.properties || {})
      .filter(([name, field]) => field.default !== undefined || (inner.required || []).includes(name))
      .map(([name, field]) => [name, example(field, root)]));
    case "array": return [];
    case "number": case "integer": return inner.minimum > 0 ? inner.minimum : 0;
    case "boolean": return false;
    case "null": return null;
    default: return "";
  }
};
const fieldList = (schema, root, optionality, depth = 0) => {
  const inner = resolved(schema, root);
  const fields = Object.entries(inner.properties || {}).map(([name, field]) => {
    const value = resolved(field, root);
    const inside = value.type === "array" && value.items ? resolved(value.items, root) : value;
    return make("li", {}, make("code", { class: "name" }, name), " ", make("code", { class: "type" }, nameOfType(value, root)), " ",
      make("span", { class: "dim" }, optionality(inner, name)),
      meaningOf(value) ? make("p", { class: "dim" }, meaningOf(value)) : undefined,
      inside.properties && depth < 6 ? fieldList(inside, root, optionality, depth + 1) : undefined);
  });
  return fields.length === 0 ? make("p", { class: "dim" }, "None.") : make("ul", { class: "fields" }, ...fields);
};
const ofParameter = (schema, name) => schema.properties[name].default !== undefined ? "default " + JSON.stringify(schema.properties[name].default)
  : isRequired(schema, name) ? "required" : "optional";
const ofOutput = (schema, name) => (schema.required || []).includes(name) ? "" : "may be missing";

// The form: for each parameter a control, and how its value is read and written.

const controlOf = (schema, root, id, required) => {
  const inner = resolved(schema, root);
  const choices = inner.enum || (inner.type === "boolean" ? [true, false] : undefined);
  if (choices) {
    const options = choices.map((value) => make("option", { value: JSON.stringify(value) }, typeof value === "string" ? value : JSON.stringify(value)));
    const control = make("select", { id }, ...(required ? [] : [make("option", { value: "" }, "–")]), ...options);
    return { control, read: () => control.value === "" ? undefined : JSON.parse(control.value),
      write: (value) => { control.value = value === undefined ? "" : JSON.stringify(value); } };
  }
  if (inner.type === "number" || inner.type === "integer") {
    const limit = (value) => Math.abs(value) === Number.MAX_SAFE_INTEGER ? undefined : value;
    const control = make("input", { id, type: "number", step: inner.type === "integer" ? 1 : "any", min: limit(inner.minimum), max: limit(inner.maximum) });
    return { control, read: () => control.value === "" ? undefined : Number(control.value),
      write: (value) => { control.value = value ?? ""; } };
  }
  if (inner.type === "string") {
    const control = make("input", { id, type: "text", autocomplete: "off", spellcheck: "false" });
    return { control, read: () => control.value === "" && !required ? undefined : control.value,
      write: (value) => { control.value = value ?? ""; } };
  }
  const control = make("textarea", { id, rows: 3, spellcheck: "false" });
  return { control, read: () => control.value.trim() === "" ? undefined : JSON.parse(control.value),
    write: (value) => { control.value = value === undefined ? "" : pretty(value); } };
};
let fields = [];
const showForm = (schema) => {
  fields = Object.entries(schema.properties || {}).map(([name, field], index) => {
    const required = isRequired(schema, name);
    const made = controlOf(field, schema, "field-" + index, required);
    const hint = make("p", { class: "hint", id: "hint-" + index }, meaningOf(resolved(field, schema)));
    made.control.setAttribute("aria-describedby", hint.id);
    made.control.addEventListener("input", () => writeBody(made, name));
    return { ...made, name, hint, meaning: hint.textContent, row: make("div", { class: "field" },
      make("label", { for: made.control.id }, make("code", {}, name), required ? make("span", { class: "dim" }, " required") : ""), made.control, hint) };
  });
  byId("fields").replaceChildren(...fields.map(({ row }) => row));
};
const parsedBody = () => { try { return JSON.parse(byId("body").value); } catch { return undefined; } };
const setHint = (field, text) => {
  field.hint.textContent = text ?? field.meaning;
  field.hint.classList.toggle("bad", text !== undefined);
  field.control.classList.toggle("wrong", text !== undefined);
};
const writeBody = ({ read }, name) => {
  const field = fields.find((one) => one.name === name);
  let value;
  try { value = read(); } catch { setHint(field, "This is not yet well-formed JSON."); return; }
  setHint(field);
  const body = parsedBody() ?? {};
  const { [name]: _, ...others } = body.parameters ?? {};
  const all = value === undefined ? others : { ...others, [name]: value };
  const parameters = Object.fromEntries(Object.keys(all).sort((a, b) => order(a) - order(b)).map((key) => [key, all[key]]));
  byId("body").value = pretty({ ...body, parameters });
  showCommand();
};
const order = (name) => { const index = fields.findIndex((field) => field.name === name); return index < 0 ? fields.length : index; };
const readBody = () => {
  const body = parsedBody();
  byId("body").classList.toggle("wrong", body === undefined);
  for (const field of fields) if (body !== undefined) { setHint(field); field.write(body?.parameters?.[field.name]); }
  showCommand();
};

// The same as a command

const quoted = (text) => "'" + text.replaceAll("'", "'\\\\''") + "'";
const showCommand = () => {
  const body = parsedBody();
  byId("command").textContent = ["curl " + quoted(address("invoke")), "-H 'Content-Type: application/json'",
    ...(byId("key-row").hidden ? [] : ['-H "Authorization: Bearer $KEY"']), "-d " + quoted(body === undefined ? byId("body").value : JSON.stringify(body))].join(" \\\\\\n  ");
};
byId("copy").hidden = navigator.clipboard === undefined;
byId("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(byId("command").textContent);
  byId("copy").textContent = "Copied";
  setTimeout(() => { byId("copy").textContent = "Copy"; }, 1500);
});

// The call

// With a key from the page the browser is to leave its own out of it, and not to ask for another one when it is wrong.
const withKey = (headers) => byId("key").value === "" ? { headers }
  : { headers: { ...headers, authorization: "Bearer " + byId("key").value }, credentials: "omit" };
const tell = (text, kind) => { byId("status").className = kind; byId("status").textContent = text; };
const showAnswer = (answer, text, milliseconds) => {
  let body;
  try { body = JSON.parse(text); } catch { body = undefined; }
  tell(answer.status + (answer.ok ? " OK" : " " + (body?.title ?? answer.statusText)) + " · " + milliseconds + " ms", answer.ok ? "ok" : "bad");
  byId("detail").textContent = answer.ok ? "" : body?.detail ?? "";
  byId("answer").textContent = body === undefined ? text : pretty(answer.ok ? body.outputs : body.issues ?? body.error ?? body);
  byId("run").textContent = body?.metadata?.run_id ?? "";
  byId("run-row").hidden = byId("run").textContent === "";
  byId("whole").textContent = body === undefined ? text : pretty(body);
  byId("result").hidden = false;
  for (const field of fields) {
    const issue = (body?.issues ?? []).find(({ path }) => path[0] === "parameters" && path[1] === field.name);
    setHint(field, issue && [...issue.path.slice(2), issue.message].join(": "));
  }
};
let running;
byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  // A client that hangs up cancels its run.
  if (running) { running.abort(); return; }
  running = new AbortController();
  byId("send").textContent = "Cancel";
  tell("Running …", "dim");
  const begun = performance.now();
  try {
    const answer = await fetch(address("invoke"), { method: "POST", body: byId("body").value, signal: running.signal,
      ...withKey({ "content-type": "application/json" }) });
    showAnswer(answer, await answer.text(), Math.round(performance.now() - begun));
  } catch (error) {
    tell(error.name === "AbortError" ? "Cancelled." : "The service cannot be reached: " + error.message, "bad");
  } finally {
    running = undefined;
    byId("send").textContent = "Run";
  }
});
byId("body").addEventListener("input", readBody);

// The page

const route = (path, method, operation) => make("details", {},
  make("summary", {}, make("span", { class: "method" }, method.toUpperCase()), " ", make("code", {}, path), " ",
    make("span", { class: "dim" }, operation.summary || "")),
  make("dl", {}, ...Object.entries(operation.responses).flatMap(([status, answer]) =>
    [make("dt", {}, make("code", {}, status)), make("dd", {}, answer.description)])));
const show = ({ info, paths, components: { schemas, securitySchemes } }) => {
  const { Parameters, Outputs } = schemas;
  document.title = info.title;
  byId("title").textContent = info.title;
  byId("summary").textContent = info.description || info.summary;
  byId("revision").textContent = info.version;
  byId("key-row").hidden = securitySchemes === undefined;
  byId("body").value = pretty({ parameters: example(Parameters, Parameters) });
  showForm(Parameters);
  readBody();
  byId("parameters").replaceChildren(fieldList(Parameters, Parameters, ofParameter));
  byId("outputs").replaceChildren(fieldList(Outputs, Outputs, ofOutput));
  byId("schemas").textContent = pretty({ parameters: Parameters, outputs: Outputs });
  byId("routes").replaceChildren(...Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => route(path, method, operation))));
  byId("main").hidden = false;
};
const load = async () => {
  const answer = await fetch(address("openapi.json"));
  if (!answer.ok) throw new Error("openapi.json answered " + answer.status);
  show(await answer.json());
};
load().catch((error) => { byId("summary").className = "bad"; byId("summary").textContent = "This page cannot be shown: " + error.message + "."; });
`;
