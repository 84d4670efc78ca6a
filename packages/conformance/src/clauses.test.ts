import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checks } from "./checks/index.ts";
import { CLAUSE_IDS, CLAUSES, clausesMarkdown } from "./clauses.ts";
import { WRONG_DEPLOYERS } from "./wrong/plugin.ts";

/** Clauses that only control with a right platform can break; no deployer alone can. */
const WITHOUT_WRONG = /^(LIFE|HTTP)-/;

describe("the clauses of the contract", () => {
  it("have ids that are unique and of one form", () => {
    expect(CLAUSE_IDS.size).toBe(CLAUSES.length);
    for (const { id } of CLAUSES) expect(id).toMatch(/^[A-Z]{3,5}-\d{2}$/);
  });

  it("oblige", () => {
    for (const { id, text } of CLAUSES) expect(text, id).toMatch(/\bMUST\b/);
  });

  it("have each at least one check", () => {
    const checked = new Set(checks.map(({ clause }) => clause));
    expect([...CLAUSE_IDS].filter((id) => !checked.has(id))).toEqual([]);
  });

  it("stand in the contract's page as they are", () => {
    const page = readFileSync(
      new URL("../../../docs/deployer-contract.md", import.meta.url),
      "utf8",
    );
    expect(page).toContain(clausesMarkdown());
  });
});

describe("the checks", () => {
  it("name clauses that exist", () => {
    expect(checks.filter(({ clause }) => !CLAUSE_IDS.has(clause))).toEqual([]);
  });

  it("have ids that are unique and of one form", () => {
    const ids = checks.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)+$|^[a-z]+$/);
  });
});

describe("the wrong deployers", () => {
  it("name clauses that exist and have names of their own", () => {
    expect(WRONG_DEPLOYERS.filter(({ clause }) => !CLAUSE_IDS.has(clause))).toEqual([]);
    expect(new Set(WRONG_DEPLOYERS.map(({ name }) => name)).size).toBe(WRONG_DEPLOYERS.length);
  });

  it("cover every clause that a deployer alone can break", () => {
    const broken = new Set(WRONG_DEPLOYERS.map(({ clause }) => clause));
    const unbroken = [...CLAUSE_IDS].filter((id) => !WITHOUT_WRONG.test(id) && !broken.has(id));
    expect(unbroken).toEqual([]);
  });
});
