import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openStore } from "../index.ts";
import { contenderScript, processesSuite } from "../processes.suite.ts";
import { translateSqliteError } from "./error.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-sqlite-"));
  file = join(folder, "state", "millrace.db");
});
afterEach(() => rmSync(folder, { recursive: true }));

const url = () => pathToFileURL(file).href;

describe("the file", () => {
  test("and its folder are for their owner alone", async () => {
    const store = await openStore({ url: url() });
    await store.projects.ensure("default");
    const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
    expect([mode(join(folder, "state")), mode(file), mode(`${file}-wal`)]).toEqual([
      "700",
      "600",
      "600",
    ]);
    await store.close();
  });

  test("holds the same after it is opened again, by URL or by path", async () => {
    const store = await openStore({ url: url() });
    const project = await store.projects.ensure("default");
    await store.close();
    for (const place of [file, `file:${file}`]) {
      const again = await openStore({ url: place });
      expect(await again.projects.ensure("default")).toEqual(project);
      await again.close();
    }
  });

  test("has a view with a row per step run", async () => {
    const store = await openStore({ url: url() });
    const project = await store.projects.ensure("default");
    await store.runs.record([
      {
        id: "0190a6e2-7b3c-7d4e-8f5a-6b7c8d9e0f1a",
        name: "one",
        projectId: project.id,
        pipelineName: "weather",
        snapshotId: "sha256:0",
        deploymentId: null,
        status: "failed",
        startedAt: 1,
        durationMs: 2,
        inputs: null,
        outputs: null,
        steps: [
          { step: "a", status: "completed", startMs: 0.5, durationMs: 1, attempts: 1 },
          { step: "b", status: "failed", startMs: 1, durationMs: 0.25, attempts: 3 },
          { step: "c", status: "skipped", startMs: null, durationMs: null, attempts: 0 },
        ],
        error: null,
      },
    ]);
    await store.close();
    const database = new DatabaseSync(file);
    const rows = database
      .prepare("select step, status, start_ms, duration_ms, attempts from step_runs")
      .all();
    database.close();
    expect(rows.map((row) => Object.values(row))).toEqual([
      ["a", "completed", 0.5, 1, 1],
      ["b", "failed", 1, 0.25, 3],
      ["c", "skipped", null, null, 0],
    ]);
  });
});

describe("errors", () => {
  const failure = async (options: { lockTimeoutMs?: number } = {}) => {
    const store = await openStore({ url: url(), ...options });
    await store.close();
  };
  const damage = async (change: (database: DatabaseSync) => void) => {
    await failure();
    const database = new DatabaseSync(file);
    change(database);
    database.close();
  };

  test("a newer store is refused, and left as it is", async () => {
    await damage((database) => database.exec("pragma user_version = 99"));
    await expect(failure()).rejects.toMatchObject({
      code: "STORE_NEWER",
      class: "usage",
      details: { version: 99 },
      message: expect.stringContaining(file),
    });
  });

  test("a file that is no database is refused, and left as it is", async () => {
    mkdirSync(join(folder, "state"));
    writeFileSync(file, "These are notes, and no database at all. ".repeat(100));
    await expect(failure()).rejects.toMatchObject({
      code: "STORE_CORRUPT",
      message: expect.stringContaining(`${file} is not an SQLite database`),
    });
    expect(statSync(file).size).toBe(4100);
  });

  test("a store that lost its end is corrupt", async () => {
    await failure();
    truncateSync(file, 8192);
    const use = async () => {
      const store = await openStore({ url: url() });
      await store.projects.ensure("x").finally(() => store.close());
    };
    await expect(use()).rejects.toMatchObject({
      code: "STORE_CORRUPT",
      action: expect.stringContaining("backup"),
    });
  });

  test.each(["pragma user_version = 0", "pragma user_version = -5", "drop table projects"])(
    "a store whose tables are not those of its version is corrupt: %s",
    async (statement) => {
      await damage((database) => database.exec(`pragma foreign_keys = off; ${statement}`));
      const use = async () => {
        const store = await openStore({ url: url() });
        await store.projects.ensure("x").finally(() => store.close());
      };
      await expect(use()).rejects.toMatchObject({
        code: "STORE_CORRUPT",
        action: expect.stringContaining("backup"),
      });
    },
  );

  test("another program's database is refused", async () => {
    mkdirSync(join(folder, "state"));
    const database = new DatabaseSync(file);
    database.exec("create table notes (text)");
    database.close();
    await expect(failure()).rejects.toMatchObject({ code: "STORE_FOREIGN", class: "usage" });
  });

  test("a store that stays locked is named, after the wait", async () => {
    await damage((database) => {
      database.exec("begin exclusive");
    });
    const database = new DatabaseSync(file);
    database.exec("begin immediate");
    const store = await openStore({ url: url(), lockTimeoutMs: 100 });
    expect(await store.pipelines.list("none")).toEqual([]);
    await expect(store.projects.ensure("x")).rejects.toMatchObject({
      code: "STORE_LOCKED",
      class: "conflict",
      retryable: true,
      message: expect.stringContaining(file),
    });
    database.exec("rollback");
    database.close();
    expect((await store.projects.ensure("x")).name).toBe("x");
    await store.close();
  });

  test("a folder in the file's place, and a file in the folder's, cannot be opened", async () => {
    mkdirSync(file, { recursive: true });
    await expect(failure()).rejects.toMatchObject({ code: "STORE_UNREACHABLE" });
    rmSync(join(folder, "state"), { recursive: true });
    writeFileSync(join(folder, "state"), "");
    await expect(failure()).rejects.toMatchObject({ code: "STORE_UNREACHABLE" });
  });

  test.each([
    "mysql://ada:geheim@db/x",
    "postgres://ada:ge/heim@db/x",
    "millrace.db",
    "file://host:1/x",
    "",
  ])("the URL %j is refused without showing a password", async (bad) => {
    const error = await openStore({ url: bad }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "STORE_URL", class: "usage" });
    expect(inspect(error, { depth: 9 })).not.toMatch(/ge\/?heim/);
  });

  test("a full disk and a read-only file have codes of their own", () => {
    file = join(folder, "full.db");
    const database = new DatabaseSync(file);
    database.exec("pragma page_size = 512; create table t (x); pragma max_page_count = 3");
    const full = thrownBy(() => database.exec("insert into t values (zeroblob(9999))"));
    database.close();
    expect(translateSqliteError(full, file)).toMatchObject({ code: "STORE_FULL", retryable: true });
    const readOnly = new DatabaseSync(file, { readOnly: true });
    const refused = thrownBy(() => readOnly.exec("insert into t values (1)"));
    readOnly.close();
    expect(translateSqliteError(refused, file)).toMatchObject({ code: "STORE_READ_ONLY" });
    expect(translateSqliteError(new Error("other"), file)).toBeNull();
  });
});

function thrownBy(work: () => void): unknown {
  try {
    work();
  } catch (thrown) {
    return thrown;
  }
  throw new Error("Nothing was thrown.");
}

processesSuite(url);

test("a killed writer leaves a whole store", async () => {
  const child = spawn(process.execPath, [contenderScript, "forever", url(), "0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "close");
  const store = await openStore({ url: url() });
  const project = await store.projects.ensure("default");
  expect((await store.stacks.list(project.id)).length).toBeGreaterThan(0);
  await store.close();
  const database = new DatabaseSync(file);
  expect(database.prepare("pragma integrity_check").get()).toEqual({ integrity_check: "ok" });
  database.close();
});

/** Names of the modules that a program asks for, in a process of its own. */
function modulesOf(program: string): string[] {
  const hooks = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ resolve: (name, context, next) => { loaded.push(name); return next(name, context); } });
    ${program}
    console.log(JSON.stringify(loaded));`;
  const loaded: string[] = JSON.parse(
    execFileSync(process.execPath, ["--input-type=module", "-e", hooks], { encoding: "utf8" }),
  );
  expect(loaded.length).toBeGreaterThan(1);
  return loaded;
}

const moduleUrl = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);

test("a store can be read although its disk has no room for the memory that processes share", async () => {
  const store = await openStore({ url: url() });
  const project = await store.projects.ensure("default");
  await store.close();
  const program = `
    const { openStore } = await import(${moduleUrl("../index.ts")});
    const store = await openStore({ url: ${JSON.stringify(url())} });
    const { id } = await store.projects.ensure("default");
    console.log(id, await store.pipelines.list(id));
    await store.close();`;
  // Smaller than that memory: a file that may not grow is as good as a disk that is full.
  const command = 'ulimit -f 16; exec "$0" --input-type=module -e "$1"';
  const output = execFileSync("sh", ["-c", command, process.execPath, program], {
    encoding: "utf8",
  });
  expect(output).toBe(`${project.id} []\n`);
});

test("the index loads neither Kysely nor SQLite", () => {
  const loaded = modulesOf(`await import(${moduleUrl("../index.ts")});`);
  expect(loaded.filter((name) => /kysely|sqlite|^pg$/.test(name))).toEqual([]);
});

test("a store in a file, and the recorder that writes to it, load nothing of PostgreSQL's driver", () => {
  const loaded = modulesOf(`
    const { openStore } = await import(${moduleUrl("../index.ts")});
    const store = await openStore({ url: ${JSON.stringify(file)} });
    const { RunWriting } = await import(${moduleUrl("../recorder/run-writing.ts")});
    const options = { kind: "sqlite", file: ${JSON.stringify(file)}, spoolDirectory: ${JSON.stringify(folder)} };
    const writing = new RunWriting({ store: options, durable: false, spoolBytes: 0 }, () => undefined);
    await writing.take({ number: 1, origins: [], values: [] });
    await writing.close(1000);
    await store.close();`);
  expect(loaded.filter((name) => name === "pg" || name.startsWith("pg-"))).toEqual([]);
});
