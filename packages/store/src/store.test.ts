import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { openStore } from "./index.ts";
import { storeSuite } from "./store.suite.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-store-"));
let stores = 0;
afterAll(() => rmSync(folder, { recursive: true }));

storeSuite("SQLite store", (options) =>
  openStore({ ...options, url: join(folder, `${++stores}.db`) }),
);
