/**
 * The parts of the documentation that are made from the code: the lifecycle and the tables of settings. Between
 * `<!-- generated: NAME -->` and `<!-- /generated -->` a page holds what `sections[NAME]` gives. Run it with
 * `npm run docs` to write the pages; a test compares them.
 */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { clausesMarkdown } from "@millrace/conformance";
import {
  DEPLOYMENT_STATUSES,
  ERROR_CLASSES,
  lifecycleDiagram,
  lifecycleTable,
  STATUS_MEANING,
  servingSettingsSchema,
} from "@millrace/core";
import docker from "@millrace/deployer-docker";
import local from "@millrace/deployer-local";
import { z } from "zod";

export const root = fileURLToPath(new URL("../../", import.meta.url));
const section = /(<!-- generated: ([a-z-]+) -->\n)[\s\S]*?(<!-- \/generated -->)/g;

interface Property {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Property>>;
  readonly items?: Property;
  readonly prefixItems?: readonly Property[];
  readonly anyOf?: readonly Property[];
  readonly const?: unknown;
}

function typeOf(property: Property): string {
  if (property.enum !== undefined)
    return property.enum.map((value) => JSON.stringify(value)).join(", ");
  if (property.const !== undefined) return JSON.stringify(property.const);
  if (property.anyOf !== undefined) return property.anyOf.map(typeOf).join(" or ");
  if (property.prefixItems !== undefined) return `[${property.prefixItems.map(typeOf).join(", ")}]`;
  if (property.items !== undefined) return `list of ${typeOf(property.items)}`;
  return [property.type ?? "any"].flat().join(" or ");
}

function rows(properties: Readonly<Record<string, Property>>, prefix = ""): string[] {
  return Object.entries(properties).flatMap(([name, property]) =>
    property.properties === undefined
      ? [
          `| \`${prefix}${name}\` | ${typeOf(property)} | ${property.default === undefined ? "" : `\`${JSON.stringify(property.default)}\``} | ${property.description ?? ""} |`,
          ...rows(property.items?.properties ?? {}, `${prefix}${name}[].`),
        ]
      : rows(property.properties, `${prefix}${name}.`),
  );
}

/** A Markdown table of a settings schema: name, type, default, meaning. */
export function settingsTable(schema: z.ZodType): string {
  const { properties = {} } = z.toJSONSchema(schema, { io: "input" }) as Property;
  return [
    "| setting | type | default | meaning |",
    "| --- | --- | --- | --- |",
    ...rows(properties),
    "",
  ].join("\n");
}

function flavorSettings(name: string): string {
  const flavor = [...local.flavors, ...docker.flavors].find((candidate) => candidate.name === name);
  if (flavor === undefined) throw new Error(`No flavor ${name}`);
  return settingsTable(flavor.settings);
}

const sections: Readonly<Record<string, () => string>> = {
  statuses: () =>
    `| status | meaning |\n| --- | --- |\n${DEPLOYMENT_STATUSES.map((status) => `| ${status} | ${STATUS_MEANING[status]} |\n`).join("")}`,
  diagram: () => `\`\`\`mermaid\n${lifecycleDiagram()}\`\`\`\n`,
  table: lifecycleTable,
  clauses: clausesMarkdown,
  "serving-settings": () => settingsTable(servingSettingsSchema),
  "local-settings": () => flavorSettings("local"),
  "docker-settings": () => flavorSettings("docker"),
  "exit-codes": () =>
    `| exit code | class | meaning |\n| --- | --- | --- |\n| 0 | | it worked |\n${Object.entries(
      ERROR_CLASSES,
    )
      .map(([name, { exitCode, meaning }]) => `| ${exitCode} | \`${name}\` | ${meaning} |\n`)
      .join("")}`,
};

export const pages: readonly string[] = globSync(
  ["*.md", "docs/**/*.md", "packages/*/*.md", "apps/*/*.md", "test-infra/**/*.md"],
  { cwd: root, exclude: ["**/node_modules/**"] },
).sort();

export function readPage(page: string): string {
  return readFileSync(`${root}/${page}`, "utf8");
}

/** The page as it should be. @throws Error for a section that nobody generates. */
export function withGeneratedSections(page: string, text: string): string {
  return text.replace(section, (_whole, open: string, name: string, close: string) => {
    const generate = sections[name];
    if (generate === undefined) throw new Error(`${page}: nothing generates the section "${name}"`);
    return `${open}\n${generate()}\n${close}`;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const page of pages) {
    const text = readPage(page);
    const wanted = withGeneratedSections(page, text);
    if (wanted === text) continue;
    writeFileSync(`${root}/${page}`, wanted);
    console.log(`wrote ${page}`);
  }
}
