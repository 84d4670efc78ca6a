import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Block, blocksOf } from "./code-blocks.ts";
import { pages, readPage, root, withGeneratedSections } from "./generated.ts";

const blocks = pages.flatMap(blocksOf);

/** Blocks with a title are files of one folder per page, so that they can import each other; others stand alone. */
function placeOf({ page, line, title }: Block): string {
  const name = page.replaceAll("/", "__");
  return title === null ? `${name}.line${line}.ts` : join(name, title);
}

describe("the documentation", () => {
  it.each(pages)(
    "%s is up to date with the code it is generated from (else: npm run docs)",
    (page) => {
      const text = readPage(page);
      expect(withGeneratedSections(page, text)).toBe(text);
    },
  );

  it.each(pages)("%s links only to files that exist", (page) => {
    const links = [...readPage(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map(
      (match) => match[1] ?? "",
    );
    const broken = links.filter((link) => !existsSync(join(root, dirname(page), link)));
    expect(broken).toEqual([]);
  });

  it("has no TypeScript that does not type-check", () => {
    const folder = join(root, "node_modules/.cache/millrace-docs");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const typescript = blocks.filter(({ language }) => language === "ts");
    expect(typescript.length).toBeGreaterThan(0);
    for (const block of typescript) {
      const file = join(folder, placeOf(block));
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, block.text);
    }
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: join(root, "tsconfig.base.json"),
        compilerOptions: {
          noEmit: true,
          composite: false,
          declaration: false,
          declarationMap: false,
          noUnusedLocals: false,
        },
        include: ["**/*.ts"],
      }),
    );
    let output = "";
    try {
      execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", folder], { encoding: "utf8" });
    } catch (error) {
      output = (error as { stdout: string }).stdout;
    }
    expect(output).toBe("");
  });

  it.each(blocks.filter(({ language }) => language === "json"))(
    "$page:$line is JSON",
    ({ text }) => {
      expect(() => JSON.parse(text) as unknown).not.toThrow();
    },
  );
});
