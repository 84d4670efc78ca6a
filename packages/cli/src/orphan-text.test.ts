import type { Orphan } from "@millrace/control";
import { MillraceError } from "@millrace/core";
import { expect, test } from "vitest";
import { deploymentRecord, details, runCommand } from "./host.fixture.ts";

const orphan: Orphan = {
  id: "3f2a9c81-0000-7000-8000-000000000000",
  name: "weather",
  project: "default",
  deployer: "docker",
  resources: [{ kind: "container", name: "millrace-3f2a-service" }],
};
const entry = (name: string) => ({
  ...{ name, flavor: name, settings: {}, serving: {}, managedBy: "file" as const },
});
const page = { items: [], cursor: null };

test("refresh lists what the platforms have that no record knows, and how to remove it", async () => {
  const calls = {
    deployments: { list: async () => page },
    deployers: { list: async () => [entry("docker")], orphans: async () => [orphan] },
  };
  const people = await runCommand(["deployment", "refresh", "--all"], { calls });
  expect(people).toMatchObject({ code: 0 });
  expect(people.stdout).toContain("millrace-3f2a-service");
  expect(people.stdout).toContain("npx millrace deployer orphans docker <id> --delete");
  const json = await runCommand(["deployment", "refresh", "--all", "--output", "json"], { calls });
  expect(JSON.parse(json.stdout)).toEqual({ items: [], orphans: [orphan] });
});

test("a platform that cannot be asked keeps refresh from nothing", async () => {
  const away = new MillraceError({ class: "unreachable", code: "AWAY", message: "It is away." });
  const { code, stdout, stderr } = await runCommand(["deployment", "refresh", "--all"], {
    calls: {
      deployments: { list: async () => page },
      deployers: {
        list: async () => [entry("broken"), entry("docker")],
        orphans: async (name) => (name === "broken" ? Promise.reject(away) : [orphan]),
      },
    },
  });
  expect(code).toBe(0);
  expect(stdout).toContain("millrace-3f2a-service");
  expect(stderr).toContain("It is away.");
});

test.each([
  { words: ["weather"], what: "a deployment that is named" },
  { words: ["--all"], what: "one of all deployments" },
])("a platform that did not answer for $what is not asked for orphans", async ({ words }) => {
  const record = deploymentRecord({ deployer: "away", status: "UNKNOWN" });
  const asked: string[] = [];
  const { code } = await runCommand(["deployment", "refresh", ...words], {
    calls: {
      deployments: {
        list: async () => ({
          items: [{ ...record, pipelineName: null, snapshotName: null }],
          cursor: null,
        }),
        get: async () => details({ deployment: record }),
        refresh: async () => {
          throw new MillraceError({ class: "unreachable", code: "AWAY", message: "It is away." });
        },
      },
      deployers: {
        list: async () => [entry("away"), entry("docker")],
        orphans: async (name) => {
          asked.push(name);
          return [];
        },
      },
    },
  });
  expect(code).toBe(7);
  expect(asked).toEqual(words[0] === "--all" ? ["docker"] : []);
});

test.each([
  ["deployment", "refresh", "--all"],
  ["deployer", "orphans", "docker"],
])("%s %s hands the deadline on to the search for orphans", async (...words) => {
  const limits: (number | undefined)[] = [];
  const { code } = await runCommand([...words, "--timeout", "2s"], {
    calls: {
      deployments: { list: async () => page },
      deployers: {
        list: async () => [entry("docker")],
        orphans: async (_name, { timeoutSeconds } = {}) => {
          limits.push(timeoutSeconds);
          return [];
        },
      },
    },
  });
  expect(code).toBe(0);
  expect(limits).toEqual([2]);
});

test("orphans are removed only when that is asked for and confirmed, and only those that are named", async () => {
  const removed: string[] = [];
  const other = { ...orphan, id: "aaaa0000-0000-7000-8000-000000000000", name: "other" };
  const calls = {
    deployers: {
      orphans: async () => [orphan, other],
      removeOrphan: async (_name: string, id: string) => {
        removed.push(id);
        return orphan;
      },
    },
  };
  const run = (...words: string[]) =>
    runCommand(["deployer", "orphans", "docker", ...words], { calls });
  expect((await run()).stdout).toContain("other");
  expect((await run("3f2a", "--delete")).code).not.toBe(0);
  expect(removed).toEqual([]);
  expect((await run("nobody", "--delete", "--yes")).code).toBe(3);
  expect(removed).toEqual([]);
  expect((await run("3f2a", "--delete", "--yes")).code).toBe(0);
  expect(removed).toEqual([orphan.id]);
});
