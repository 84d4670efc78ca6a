import { defineCommand } from "../command.ts";
import { formatSettings } from "../settings-text.ts";
import { formatSection } from "../table.ts";

const show = defineCommand({
  name: "show",
  summary: "Show the effective value of each setting and where it comes from",
  inputs: {},
  examples: ["config show", "config show --output json"],
  run: async (context) => {
    const client = await context.client();
    const items = await client.config.show();
    const problems = await client.config.problems();
    return {
      json: { items, cursor: null, problems },
      text: () => {
        const settings = formatSettings(items, context.style);
        if (problems.length === 0) return settings;
        return `${settings}\n\n${formatSection("Problems", problems.join("\n"), context.style)}`;
      },
    };
  },
});

export const configCommands = [show] as const;
