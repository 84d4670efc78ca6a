/** The files of a first project, by name. They deploy as they are after `npm install`. */
export function firstFiles(folder: string, version: string): Readonly<Record<string, string>> {
  return {
    "package.json": `${JSON.stringify(packageJson(folder, version), null, 2)}\n`,
    "pipeline.ts": PIPELINE,
    "millrace.config.ts": CONFIG,
    "tsconfig.json": `${JSON.stringify(TSCONFIG, null, 2)}\n`,
    ".gitignore": "node_modules/\n.millrace/\n.env\n",
  };
}

function packageJson(folder: string, version: string) {
  const name = folder
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .replaceAll(/^-+|-+$/g, "");
  return {
    name: name === "" ? "first-pipeline" : name,
    private: true,
    type: "module",
    scripts: { dev: "millrace dev pipeline.ts", deploy: "millrace deploy pipeline.ts" },
    dependencies: { millrace: version, zod: "^4.6.0" },
    devDependencies: { "@types/node": "^24.0.0", typescript: "^7.0.0" },
    engines: { node: ">=22.18" },
  };
}

const PIPELINE = `import { definePipeline, defineStep } from "millrace";
import { z } from "zod";

const greet = defineStep({
  name: "greet",
  input: z.object({ name: z.string() }),
  output: z.string(),
  run: ({ name }) => \`Hello, \${name}!\`,
});

const shout = defineStep({
  name: "shout",
  input: z.object({ text: z.string(), times: z.number() }),
  output: z.string(),
  run: ({ text, times }) => text.toUpperCase() + "!".repeat(times),
});

export default definePipeline({
  name: "hello",
  input: z.object({
    name: z.string().default("World").describe("Who is greeted"),
    times: z.int().min(0).max(10).default(1).describe("How many exclamation marks"),
  }),
  build: ({ name, times }) => {
    const greeting = greet({ name });
    const loud = shout({ text: greeting, times });
    return { greeting, loud };
  },
});
`;

const CONFIG = `import { defineConfig } from "millrace";

// Every key is optional. Without any, deployments run on this machine.
export default defineConfig({
  deployers: {
    here: { flavor: "local" },
  },
  stacks: {
    here: { deployer: "here" },
  },
  stack: "here",
});
`;

const TSCONFIG = {
  compilerOptions: {
    target: "es2024",
    lib: ["es2024"],
    module: "nodenext",
    types: ["node"],
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
  },
  include: ["*.ts"],
};
