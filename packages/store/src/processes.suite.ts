import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openStore } from "./index.ts";

export const contenderScript = fileURLToPath(new URL("./contender.fixture.ts", import.meta.url));

/** What several processes do with one store, whatever its database is. */
export function processesSuite(freshUrl: () => string | Promise<string>): void {
  describe("several processes", () => {
    test("may open a new store at once", async () => {
      const outputs = await contend("open", await freshUrl(), { count: 4, rounds: 1 });
      expect(new Set(outputs).size).toBe(1);
    });

    test("lose no update", async () => {
      const url = await freshUrl();
      await contend("count", url, { count: 3, rounds: 30 });
      const store = await openStore({ url });
      const project = await store.projects.ensure("default");
      const deployment = await store.deployments.find(project.id, "counter");
      expect(deployment?.metadata).toEqual({ count: 90 });
      await store.close();
    });

    test("never hold one lease together, and never the same token", async () => {
      const outputs = await contend("lease", await freshUrl(), { count: 3, rounds: 30 });
      const tokens = outputs.flatMap((output) => output.trim().split("\n").map(Number));
      expect(tokens).toHaveLength(90);
      expect(tokens.toSorted((a, b) => a - b)).toEqual(tokens.map((_, i) => i + 1));
    });

    test("take one name, one snapshot and one deployment each once", async () => {
      const url = await freshUrl();
      const outputs = await contend("claim", url, { count: 3, rounds: 20 });
      const claimed = outputs.flatMap((output) => output.trim().split("\n"));
      const kinds = Object.groupBy(claimed, (line) => line.replace(/ .*/, ""));
      expect(Object.keys(kinds).toSorted()).toEqual(["deployed", "named", "renamed"]);
      for (const lines of Object.values(kinds)) {
        expect(lines).toHaveLength(20);
        expect(new Set(lines).size).toBe(20);
      }
    });
  });
}

/** Runs several processes at once; gives what each printed. */
async function contend(
  task: string,
  url: string,
  { count, rounds }: { readonly count: number; readonly rounds: number },
): Promise<string[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const child = spawn(
        process.execPath,
        [contenderScript, task, url, String(rounds), String(i)],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
      const [code] = await once(child, "close");
      expect(code).toBe(0);
      return output;
    }),
  );
}
