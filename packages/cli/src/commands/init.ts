import { mkdir, writeFile } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { messageOf } from "@millrace/core";
import { defineCommand } from "../command.ts";
import { firstFiles } from "../first-project.ts";
import { optionalArgument, usage } from "../inputs.ts";
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
    return {
      json: { directory, written, kept },
      text: () => {
        const { style } = context;
        const lines = [
          ...written.map((file) => `${style("green", "wrote")}  ${file}`),
          ...kept.map((file) => `${style("dim", "kept")}   ${file} (it exists)`),
        ];
        const next = nextSteps(
          relative(context.terminal.directory, directory),
          kept.includes("package.json"),
        );
        return `${lines.join("\n")}\n\n${formatSection("Go on with", next.join("\n"), style)}`;
      },
    };
  },
});

function nextSteps(folder: string, hadPackage: boolean): string[] {
  return [
    ...(folder === "" ? [] : [`cd ${folder}`]),
    ...(hadPackage
      ? [
          "npm pkg set type=module",
          "npm install millrace zod",
          "npm install --save-dev typescript @types/node",
        ]
      : ["npm install"]),
    "npx millrace dev pipeline.ts",
    "npx millrace deploy pipeline.ts --name hello",
    "npx millrace invoke hello --name Ada",
  ];
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
