import { agree } from "../agree.ts";
import { defineCommand } from "../command.ts";
import { argument, requiredText } from "../inputs.ts";
import { formatFields, formatTable, indent } from "../table.ts";

const stack = argument("<stack>", "Name of the stack.");

const register = defineCommand({
  name: "register",
  summary: "Add a stack",
  inputs: {
    stack,
    deployer: requiredText(
      "-d, --deployer <name>",
      "Its deployer; `npx millrace deployer list` lists them.",
    ),
  },
  examples: ["stack register second --deployer second"],
  run: async (context, { stack: name, deployer }) => {
    const client = await context.client();
    const entry = await client.stacks.register(name, deployer);
    return {
      json: entry,
      text: () =>
        `Stack ${context.style("bold", entry.name)} with deployer ${entry.deployer}. Make it the active one: npx millrace stack set ${entry.name}`,
    };
  },
});

const list = defineCommand({
  name: "list",
  summary: "List stacks",
  inputs: {},
  examples: ["stack list"],
  run: async (context) => {
    const client = await context.client();
    const items = await client.stacks.list();
    const rows = items.map((item) => [
      item.active ? context.style("green", "*") : "",
      item.name,
      item.deployer,
      item.managedBy,
    ]);
    return {
      json: { items, cursor: null },
      text: () => formatTable(["ACTIVE", "NAME", "DEPLOYER", "MANAGED BY"], rows, context.style),
    };
  },
});

const describe = defineCommand({
  name: "describe",
  summary: "Show a stack",
  inputs: { stack },
  examples: ["stack describe default"],
  run: async (context, values) => {
    const client = await context.client();
    const entry = await client.stacks.get(values.stack);
    const fields = [
      ["Deployer", entry.deployer],
      ["Active", entry.active ? "yes" : "no"],
      ["Managed by", entry.managedBy],
    ] as const;
    return {
      json: entry,
      text: () =>
        `${context.style("bold", entry.name)}\n\n${indent(formatFields(fields, context.style))}`,
    };
  },
});

const set = defineCommand({
  name: "set",
  summary: "Make a stack the active one",
  inputs: { stack },
  examples: ["stack set second"],
  run: async (context, values) => {
    const client = await context.client();
    await client.stacks.set(values.stack);
    return {
      json: { active: values.stack },
      text: () => `The active stack is ${context.style("bold", values.stack)}.`,
    };
  },
});

const remove = defineCommand({
  name: "delete",
  summary: "Delete a stack; its deployer stays",
  inputs: { stack },
  examples: ["stack delete second --yes"],
  run: async (context, values) => {
    const client = await context.client();
    const entry = await client.stacks.get(values.stack);
    await agree(
      context,
      `Delete the stack ${entry.name}?`,
      `${entry.name}  with deployer ${entry.deployer}`,
    );
    await client.stacks.delete(entry.name);
    const active = (await client.stacks.list()).find((stack) => stack.active)?.name ?? null;
    const now = entry.active
      ? `; ${active === null ? "no stack is active now" : `the active stack is ${active} now`}`
      : "";
    return {
      json: { deleted: entry.name, active },
      text: () => `${entry.name}  deleted${now}`,
    };
  },
});

export const stackCommands = [register, list, describe, set, remove] as const;
