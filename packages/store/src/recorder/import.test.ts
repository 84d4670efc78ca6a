import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { importSuite } from "./import.suite.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-import-"));
let files = 0;
afterAll(() => rmSync(folder, { recursive: true }));

importSuite(() => join(folder, `${++files}.db`));
