import type { SecretEntry } from "@millrace/control";
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
    const { hiddenBy } = (await client.secrets.list()).find((entry) => entry.name === name) ?? {};
    if (hiddenBy != null)
      context.tell(`${name} is in ${hiddenBy} too, and that value goes before this one.`);
    return { json: { set: name }, text: () => `${name}  kept` };
  },
});

const list = defineCommand({
  name: "list",
  summary: "List the secrets of the store, without their values",
  inputs: {},
  examples: ["secret list"],
  run: async (context) => {
    const client = await context.client();
    const items = await client.secrets.list();
    const row = ({ name, hiddenBy }: SecretEntry) => [
      name,
      hiddenBy === null ? "the secret store" : `${hiddenBy}, before the secret store`,
    ];
    return {
      json: { items, cursor: null },
      text: () =>
        items.length === 0
          ? "No secrets."
          : formatTable(["NAME", "TAKEN FROM"], items.map(row), context.style),
    };
  },
});

const remove = defineCommand({
  name: "delete",
  summary: "Delete a secret",
  inputs: { secret },
  examples: ["secret delete API_TOKEN --yes"],
  run: async (context, { secret: name }) => {
    const client = await context.client();
    // Where there is none, the call itself says so best, and there is nothing to ask.
    if ((await client.secrets.list()).some((entry) => entry.name === name))
      await agree(
        context,
        `Delete the secret ${name}?`,
        "Deployments keep the value that they were deployed with until they are updated.",
      );
    await client.secrets.delete(name);
    return { json: { deleted: name }, text: () => `${name}  deleted` };
  },
});

export const secretCommands = [set, list, remove] as const;
