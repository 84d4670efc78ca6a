import type { CommandEntry } from "./program.ts";

/** Every word that can follow `millrace`. Help lists them in this order. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "init",
    summary: "Write a first pipeline and its configuration",
    load: async () => ({ command: (await import("./commands/init.ts")).init }),
  },
  {
    name: "dev",
    summary: "Serve in the foreground, reload on change",
    load: async () => ({ command: (await import("./commands/dev.ts")).dev }),
  },
  {
    name: "run",
    summary: "Run a pipeline once; list, show, import, delete runs",
    load: async () => {
      const { run, runCommands } = await import("./commands/run.ts");
      return { command: run, subcommands: runCommands };
    },
  },
  {
    name: "deploy",
    summary: "Deploy a pipeline, or update it in place",
    load: async () => ({ command: (await import("./commands/deploy.ts")).deploy }),
  },
  {
    name: "plan",
    summary: "Show what a deploy would change",
    load: async () => ({ command: (await import("./commands/deploy.ts")).plan }),
  },
  {
    name: "invoke",
    summary: "Call a deployment",
    load: async () => ({ command: (await import("./commands/invoke.ts")).invoke }),
  },
  {
    name: "deployment",
    summary: "Look at, call and manage deployments",
    load: async () => ({
      subcommands: (await import("./commands/deployment.ts")).deploymentCommands,
    }),
  },
  {
    name: "snapshot",
    summary: "Make, look at, deploy, delete snapshots",
    load: async () => ({ subcommands: (await import("./commands/snapshot.ts")).snapshotCommands }),
  },
  {
    name: "deployer",
    summary: "Register, look at and delete deployers",
    load: async () => ({ subcommands: (await import("./commands/deployer.ts")).deployerCommands }),
  },
  {
    name: "stack",
    summary: "Register, look at, choose, delete stacks",
    load: async () => ({ subcommands: (await import("./commands/stack.ts")).stackCommands }),
  },
  {
    name: "secret",
    summary: "Set, list and delete secrets",
    load: async () => ({ subcommands: (await import("./commands/secret.ts")).secretCommands }),
  },
  {
    name: "config",
    summary: "Show the effective configuration",
    load: async () => ({ subcommands: (await import("./commands/config.ts")).configCommands }),
  },
];
