import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { pages, readPage, root, withGeneratedSections } from "./generated.ts";

interface Block {
  readonly page: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

function blocksOf(page: string): Block[] {
  const text = readPage(page);
  return [...text.matchAll(/^```(\w+)[^\n]*\n([\s\S]*?)^```$/gm)].map((match) => ({
    page,
    line: text.slice(0, match.index).split("\n").length,
    language: match[1] ?? "",
    text: match[2] ?? "",
  }));
}

const blocks = pages.flatMap(blocksOf);

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
    for (const { page, line, text } of typescript) {
      writeFileSync(join(folder, `${page.replaceAll("/", "__")}.line${line}.ts`), text);
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
        include: ["*.ts"],
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
