import { Secret } from "@millrace/core";
import { agree } from "../agree.ts";
import { defineCommand } from "../command.ts";
import { argument, usage } from "../inputs.ts";
import { formatTable } from "../table.ts";

const secret = argument("<secret>", "Name of the secret, as pipelines and deployers declare it.");

const set = defineCommand({
  name: "set",
  summary: "Keep a secret; its value comes from a prompt or from standard input",
  inputs: { secret },
  examples: ["secret set API_TOKEN", "secret set API_TOKEN < token.txt"],
  run: async (context, { secret: name }) => {
    const { stdin } = context.terminal;
    const given = stdin.isTerminal
      ? await stdin.ask(`Value of ${name}: `, { hidden: true, signal: context.signal })
      : (await stdin.readAll()).replace(/\r?\n$/, "");
    if (given === "")
      throw usage(
        "SECRET_EMPTY",
        `No value for ${name} was given.`,
        "Type the value, or send it to standard input.",
      );
    const client = await context.client();
    await client.secrets.set(name, new Secret(given));
    return { json: { set: name }, text: () => `${name}  kept` };
  },
});

const list = defineCommand({
  name: "list",
  summary: "List the names of secrets",
  inputs: {},
  examples: ["secret list"],
  run: async (context) => {
    const client = await context.client();
    const names = await client.secrets.list();
    return {
      json: { items: names.map((name) => ({ name })), cursor: null },
      text: () =>
        names.length === 0
          ? "No secrets."
          : formatTable(
              ["NAME"],
              names.map((name) => [name]),
              context.style,
            ),
    };
  },
});

const remove = defineCommand({
  name: "delete",
  summary: "Delete a secret",
  inputs: { secret },
  examples: ["secret delete API_TOKEN --yes"],
  run: async (context, { secret: name }) => {
    await agree(
      context,
      `Delete the secret ${name}?`,
      "Deployments keep the value that they were deployed with until they are updated.",
    );
    const client = await context.client();
    await client.secrets.delete(name);
    return { json: { deleted: name }, text: () => `${name}  deleted` };
  },
});

export const secretCommands = [set, list, remove] as const;
