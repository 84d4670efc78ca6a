import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { runWriterSuite } from "../run-writer.suite.ts";
import { SqliteRunWriter } from "./run-writer.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-writer-"));
let files = 0;
afterAll(() => rmSync(folder, { recursive: true }));

runWriterSuite(
  () => join(folder, `${++files}.db`),
  (file) => new SqliteRunWriter(file, false),
);
