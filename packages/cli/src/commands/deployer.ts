import type { Orphan } from "@millrace/control";
import { type Flavor, MillraceError } from "@millrace/core";
import { agree } from "../agree.ts";
import { defineCommand } from "../command.ts";
import { servingSettings } from "../deploying.ts";
import { argument, argumentList, assignments, flag, requiredText, seconds } from "../inputs.ts";
import { formatOrphans } from "../orphan-text.ts";
import { formatSettings } from "../settings-text.ts";
import type { Style } from "../style.ts";
import { formatFields, formatSection, formatTable, indent } from "../table.ts";

const deployer = argument("<deployer>", "Name of the deployer.");

const flavors = defineCommand({
  name: "flavors",
  summary: "List the kinds of deployers that the configured plugins provide",
  inputs: {},
  examples: ["deployer flavors"],
  run: async (context) => {
    const client = await context.client();
    const items = (await client.deployers.flavors()).map(({ name, description, capabilities }) => ({
      name,
      description,
      capabilities,
    }));
    return {
      json: { items, cursor: null },
      text: () =>
        formatTable(
          ["FLAVOR", "RUNS", "CAPABILITIES", "DESCRIPTION"],
          items.map((item) => [
            item.name,
            item.capabilities.artefact,
            capabilitiesOf(item),
            item.description,
          ]),
          context.style,
        ),
    };
  },
});

const register = defineCommand({
  name: "register",
  summary: "Add a deployer",
  inputs: {
    deployer,
    flavor: requiredText(
      "-f, --flavor <name>",
      "Its flavor; `npx millrace deployer flavors` lists them.",
    ),
    settings: assignments(
      "--set <key=value>",
      "Setting of the flavor; repeatable. Dots nest. The value is read as JSON, else as text.",
    ),
    serving: assignments(
      "--serving <key=value>",
      "How its deployments serve, such as tracking.mode=sync; repeatable.",
    ),
  },
  examples: [
    "deployer register second --flavor local",
    "deployer register second --flavor local --set portRange.first=9000",
  ],
  run: async (context, { deployer: name, flavor, settings, serving }) => {
    const client = await context.client();
    const entry = await client.deployers.register(name, flavor, {
      ...(settings === undefined ? {} : { settings }),
      ...(serving === undefined ? {} : { serving: servingSettings(serving) }),
    });
    const next = `npx millrace stack register ${entry.name} --deployer ${entry.name}`;
    return {
      json: entry,
      text: () =>
        `Deployer ${context.style("bold", entry.name)} of flavor ${entry.flavor}\n\n${formatSection("Use it", next, context.style)}`,
    };
  },
});

const list = defineCommand({
  name: "list",
  summary: "List deployers",
  inputs: {},
  examples: ["deployer list"],
  run: async (context) => {
    const client = await context.client();
    const items = await client.deployers.list();
    return {
      json: { items, cursor: null },
      text: () =>
        formatTable(
          ["NAME", "FLAVOR", "MANAGED BY"],
          items.map((item) => [item.name, item.flavor, item.managedBy]),
          context.style,
        ),
    };
  },
});

const describe = defineCommand({
  name: "describe",
  summary: "Show a deployer: its flavor, capabilities and effective settings",
  inputs: { deployer },
  examples: ["deployer describe default"],
  run: async (context, values) => {
    const client = await context.client();
    const { deployer: entry, flavor, effective } = await client.deployers.get(values.deployer);
    const { style } = context;
    return {
      json: {
        deployer: entry,
        flavor: {
          name: flavor.name,
          description: flavor.description,
          capabilities: flavor.capabilities,
        },
        effective,
      },
      text: () =>
        [
          style("bold", entry.name),
          indent(
            formatFields(
              [
                ["Flavor", `${flavor.name}: ${flavor.description}`],
                ["Managed by", entry.managedBy],
              ],
              style,
            ),
          ),
          formatSection("Capabilities", formatCapabilities(flavor, style), style),
          formatSection("Settings", formatSettings(effective, style), style),
        ].join("\n\n"),
    };
  },
});

const remove = defineCommand({
  name: "delete",
  summary: "Delete a deployer that no deployment needs any more",
  inputs: { deployer },
  examples: ["deployer delete second --yes"],
  run: async (context, values) => {
    const client = await context.client();
    const { deployer: entry } = await client.deployers.get(values.deployer);
    await agree(
      context,
      `Delete the deployer ${entry.name}?`,
      `${entry.name}  of flavor ${entry.flavor}`,
    );
    await client.deployers.delete(entry.name);
    return { json: { deleted: entry.name }, text: () => `${entry.name}  deleted` };
  },
});

const orphans = defineCommand({
  name: "orphans",
  summary: "List what a deployer's platform has of deployments that the store does not know",
  description:
    "Their records were lost or removed by force, or they belong to another store that uses the same platform. With --delete all that the platform has of them is removed.",
  inputs: {
    deployer,
    deployments: argumentList("[deployments...]", "Only these: names, ids or beginnings of ids."),
    remove: flag("--delete", "Removes them from the platform."),
    timeoutSeconds: seconds(
      "--timeout <time>",
      "How long listing may take, and removing one: seconds, or 90s, 10m. Default 1m, and 2m.",
    ),
  },
  examples: ["deployer orphans docker", "deployer orphans docker 3f2a9c81 --delete --yes"],
  run: async (context, { deployer: name, deployments, remove: removes, ...limit }) => {
    const client = await context.client();
    const all = await context.during(`Looking for orphans of ${name}`, (call) =>
      client.deployers.orphans(name, { ...call, ...limit }),
    );
    const items = deployments.length === 0 ? all : deployments.flatMap((one) => chosen(all, one));
    if (items.length === 0) return { json: { items }, text: () => "No orphans." };
    if (!removes) return { json: { items }, text: () => formatOrphans(items, context.style) };
    await agree(
      context,
      "Remove all of this, which another store may still use?",
      formatOrphans(items, context.sideStyle),
    );
    for (const { id, name: called } of items)
      await context.during(`Removing ${called}`, (call) =>
        client.deployers.removeOrphan(name, id, { ...call, ...limit }),
      );
    return {
      json: { items },
      text: () => items.map(({ name: called, id }) => `${called}  ${id}  removed`).join("\n"),
    };
  },
});

function chosen(all: readonly Orphan[], wanted: string): readonly Orphan[] {
  const found = all.filter(({ id, name }) => name === wanted || id.startsWith(wanted));
  if (found.length > 0) return found;
  throw new MillraceError({
    class: "not_found",
    code: "ORPHAN_NOT_FOUND",
    message: `There is no orphan "${wanted}".`,
    action: "Run the command without names to see what there is.",
  });
}

function capabilitiesOf({ capabilities }: Pick<Flavor, "capabilities">): string {
  const { artefact: _, logs, ...others } = capabilities;
  return flagsOf(logs, others)
    .flatMap(([name, has]) => (has ? [name] : []))
    .join(", ");
}

function flagsOf(
  logs: Flavor["capabilities"]["logs"],
  others: Omit<Flavor["capabilities"], "artefact" | "logs">,
): [name: string, has: boolean][] {
  return [
    ...Object.entries(logs).map(([name, has]): [string, boolean] => [`logs.${name}`, has]),
    ...Object.entries(others),
  ];
}

function formatCapabilities({ capabilities }: Flavor, style: Style): string {
  const { artefact, logs, ...others } = capabilities;
  return formatFields(
    [
      ["artefact", artefact],
      ...flagsOf(logs, others).map(([name, has]) => [name, has ? "yes" : "no"] as const),
    ],
    style,
  );
}

export const deployerCommands = [flavors, register, list, describe, orphans, remove] as const;
