import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openStore } from "../index.ts";
import { runWriterSuite } from "../run-writer.suite.ts";
import { DatabaseSync } from "./node-sqlite.ts";
import { INTERRUPT, SqliteRunWriter } from "./run-writer.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-writer-"));
let files = 0;
afterAll(() => rmSync(folder, { recursive: true }));

runWriterSuite(
  () => join(folder, `${++files}.db`),
  (file) => new SqliteRunWriter(file, false),
);

test("overdue runs are looked for among those that run, not among all of a deployment", async () => {
  const file = join(folder, "plan.db");
  const store = await openStore({ url: file });
  await store.close();
  const database = new DatabaseSync(file);
  const plan = database.prepare(`explain query plan ${INTERRUPT}`).all("", "", "");
  database.close();
  expect(plan.map(({ detail }) => detail)).toContain(
    "SEARCH runs USING INDEX runs_by_status (status=? AND id<?)",
  );
});
