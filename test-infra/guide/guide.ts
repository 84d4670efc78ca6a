import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { blocksOf, filesOf } from "../docs/code-blocks.ts";
import { readPage } from "../docs/generated.ts";

const PAGE = "docs/writing-a-deployer.md";
/** Files of the project that uses the package lie in a folder beside it. */
const PROJECT = "hello/";

/** Writes the package of the guide into a folder. */
export function writePackage(folder: string): void {
  for (const [path, text] of filesOf(PAGE)) {
    if (!path.startsWith(PROJECT)) write(join(folder, path), text);
  }
}

/** Writes what the guide changes in a project that uses the package. */
export function writeProject(folder: string): void {
  for (const [path, text] of filesOf(PAGE)) {
    if (path.startsWith(PROJECT)) write(join(folder, path.slice(PROJECT.length)), text);
  }
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

/** The commands of the shell block that has this one. */
export function commandsWith(command: string): readonly string[] {
  const block = blocksOf(PAGE).find(
    ({ language, text }) => language === "sh" && text.split("\n").includes(command),
  );
  if (block === undefined) throw new Error(`${PAGE} has no shell block with: ${command}`);
  return block.text.trim().split("\n");
}

/** The lines of the sample output that begin with a sign, without the seconds, which differ. */
export function sampleLines(sign: string): readonly string[] {
  return blocksOf(PAGE)
    .filter(({ language }) => language === "text")
    .flatMap(({ text }) => text.split("\n"))
    .filter((line) => line.startsWith(sign))
    .map(withoutSeconds);
}

export function withoutSeconds(line: string): string {
  return line.replace(/ \(\d+\.\d s\)$/, "");
}

/** Every clause that the guide names. */
export function clausesNamed(): readonly string[] {
  const text = readPage(PAGE);
  return [...new Set(text.match(/\b[A-Z]+-\d\d\b/g))];
}
