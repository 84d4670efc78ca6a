import { defineCommand } from "../command.ts";
import { formatSettings } from "../settings-text.ts";

const show = defineCommand({
  name: "show",
  summary: "Show the effective value of each setting and where it comes from",
  inputs: {},
  examples: ["config show", "config show --output json"],
  run: async (context) => {
    const client = await context.client();
    const items = await client.config.show();
    return { json: { items, cursor: null }, text: () => formatSettings(items, context.style) };
  },
});

export const configCommands = [show] as const;
