import type { CommandEntry } from "./program.ts";

/** Every word that can follow `millrace`. Help lists them in this order. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "init",
    summary: "Write a first pipeline with its configuration into a folder",
    load: async () => ({ command: (await import("./commands/init.ts")).init }),
  },
  {
    name: "dev",
    summary: "Serve a pipeline in the foreground and reload it when its source changes",
    load: async () => ({ command: (await import("./commands/dev.ts")).dev }),
  },
  {
    name: "run",
    summary: "Run a pipeline once as a batch run; list and show recorded runs",
    load: async () => {
      const { run, runList, runShow } = await import("./commands/run.ts");
      return { command: run, subcommands: [runList, runShow] };
    },
  },
  {
    name: "deploy",
    summary: "Deploy a pipeline or snapshot as an HTTP service, or update it in place",
    load: async () => ({ command: (await import("./commands/deploy.ts")).deploy }),
  },
  {
    name: "plan",
    summary: "Show what a deploy would change, and change nothing",
    load: async () => ({ command: (await import("./commands/deploy.ts")).plan }),
  },
  {
    name: "invoke",
    summary: "Call a deployment",
    load: async () => ({ command: (await import("./commands/invoke.ts")).invoke }),
  },
  {
    name: "deployment",
    summary: "List, describe, call and manage deployments",
    load: async () => ({
      subcommands: (await import("./commands/deployment.ts")).deploymentCommands,
    }),
  },
  {
    name: "snapshot",
    summary: "Create, list, show, deploy and delete snapshots",
    load: async () => ({ subcommands: (await import("./commands/snapshot.ts")).snapshotCommands }),
  },
  {
    name: "deployer",
    summary: "List flavors; register, list, describe and delete deployers",
    load: async () => ({ subcommands: (await import("./commands/deployer.ts")).deployerCommands }),
  },
  {
    name: "stack",
    summary: "Register, list, describe, choose and delete stacks",
    load: async () => ({ subcommands: (await import("./commands/stack.ts")).stackCommands }),
  },
  {
    name: "secret",
    summary: "Set, list and delete secrets",
    load: async () => ({ subcommands: (await import("./commands/secret.ts")).secretCommands }),
  },
  {
    name: "config",
    summary: "Show the effective configuration and where each value comes from",
    load: async () => ({ subcommands: (await import("./commands/config.ts")).configCommands }),
  },
];
