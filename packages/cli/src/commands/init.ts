import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { isJsonObject, type JsonObject, messageOf } from "@millrace/core";
import { defineCommand } from "../command.ts";
import { firstFiles } from "../first-project.ts";
import { jsonOrText, optionalArgument, usage } from "../inputs.ts";
import { formatSection } from "../table.ts";

export const init = defineCommand({
  name: "init",
  summary: "Write a first pipeline with its configuration into a folder",
  description: "Files that exist are left as they are.",
  inputs: {
    folder: optionalArgument("[folder]", "Where to; made if need be. Default: the working folder."),
  },
  examples: ["init", "init weather"],
  run: async (context, { folder = "." }) => {
    const directory = resolve(context.terminal.directory, folder);
    await mkdir(directory, { recursive: true }).catch((cause: unknown) => {
      throw usage(
        "FOLDER_UNUSABLE",
        `The folder ${directory} cannot be made: ${messageOf(cause)}.`,
        "Name a folder, and not a file that is there.",
      );
    });
    const written: string[] = [];
    const kept: string[] = [];
    for (const [file, content] of Object.entries(
      firstFiles(basename(directory), context.version),
    )) {
      const isNew = await writeNew(join(directory, file), content);
      (isNew ? written : kept).push(file);
    }
    const existing = kept.includes("package.json") ? await packageOf(directory) : null;
    return {
      json: { directory, written, kept },
      text: () => {
        const { style } = context;
        const lines = [
          ...written.map((file) => `${style("green", "wrote")}  ${file}`),
          ...kept.map((file) => `${style("dim", "kept")}   ${file} (it exists)`),
        ];
        const next = nextSteps(relative(context.terminal.directory, directory), existing);
        return `${lines.join("\n")}\n\n${formatSection("Go on with", next.join("\n"), style)}`;
      },
    };
  },
});

/** `existing`: the package.json that was there, of which only what it lacks is to be added. */
function nextSteps(folder: string, existing: JsonObject | null): string[] {
  return [
    ...(folder === "" ? [] : [`cd ${folder}`]),
    ...(existing === null ? ["npm install"] : additions(existing)),
    "npx millrace dev pipeline.ts",
    "npx millrace deploy pipeline.ts --name hello",
    "npx millrace invoke hello --name Ada",
  ];
}

function additions({ type, dependencies, devDependencies }: JsonObject): string[] {
  const declared = [dependencies, devDependencies].filter(isJsonObject).flatMap(Object.keys);
  const install = (command: string, names: readonly string[]): string[] => {
    const lacking = names.filter((name) => !declared.includes(name));
    return lacking.length === 0 ? [] : [`${command} ${lacking.join(" ")}`];
  };
  return [
    ...(type === "module" ? [] : ["npm pkg set type=module"]),
    ...install("npm install", ["millrace", "zod"]),
    ...install("npm install --save-dev", ["typescript", "@types/node"]),
  ];
}

/** Empty for one that npm could not read either. */
async function packageOf(directory: string): Promise<JsonObject> {
  const value = jsonOrText(await readFile(join(directory, "package.json"), "utf8"));
  return isJsonObject(value) ? value : {};
}

/** False when the file exists. */
async function writeNew(path: string, content: string): Promise<boolean> {
  try {
    await writeFile(path, content, { flag: "wx" });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}
