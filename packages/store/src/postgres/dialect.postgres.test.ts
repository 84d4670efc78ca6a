import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { inspect } from "node:util";
import { Kysely, sql } from "kysely";
import { afterEach, beforeEach, describe, expect, inject, onTestFinished, test, vi } from "vitest";
import type { Database } from "../database.ts";
import { openStore, type StoreOptions } from "../index.ts";
import { type Migration, migrate } from "../migrations.ts";
import { processesSuite } from "../processes.suite.ts";
import { sampleRun } from "../recorder/sample-run.fixture.ts";
import type { Store } from "../store.ts";
import { postgresDialect } from "./dialect.ts";
import { asSuperuser, freshUrl } from "./fresh-url.fixture.ts";
import { openWire } from "./wire.fixture.ts";

const stores: Store[] = [];
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

async function open(url: string, options: Omit<StoreOptions, "url"> = {}): Promise<Store> {
  const store = await openStore({ ...options, url });
  stores.push(store);
  return store;
}

/** What opening the store fails with. Nothing of it shows the password. */
async function failure(url: string): Promise<unknown> {
  const error: unknown = await open(url).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  const { password } = new URL(url);
  if (password !== "")
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(password);
  return error;
}

function changed(url: string, change: (url: URL) => void): string {
  const copy = new URL(url);
  change(copy);
  return copy.href;
}

/** Another user of the server, who may do nothing yet. */
async function otherUser(): Promise<{ readonly name: string; readonly url: string }> {
  const name = `u_${Math.random().toString(36).slice(2)}`;
  await asSuperuser((client) => client.query(`create role ${name} login password 'geheim-1234'`));
  const url = changed(await freshUrl(), (copy) => {
    copy.username = name;
    copy.password = "geheim-1234";
  });
  return { name, url };
}

const schemaOf = (url: string) => url.replace(/^.*search_path%3D/, "");

processesSuite(freshUrl);

describe("the schema", () => {
  test("holds the same after it is opened again, and others nothing of it", async () => {
    const url = await freshUrl();
    const project = await (await open(url)).projects.ensure("default");
    expect(await (await open(url)).projects.ensure("default")).toEqual(project);
    const other = await (await open(await freshUrl())).projects.ensure("default");
    expect(other.id).not.toBe(project.id);
  });

  test("has a view with a row per step run", async () => {
    const url = await freshUrl();
    const store = await open(url);
    const step = { startMs: 0.5, durationMs: 1, attempts: 1 };
    await store.runs.record([
      sampleRun({
        steps: [
          { step: "a", status: "completed", ...step },
          { step: "b", status: "failed", ...step, attempts: 3 },
          { step: "c", status: "skipped", startMs: null, durationMs: null, attempts: 0 },
        ],
      }),
    ]);
    const { rows } = await asSuperuser((client) => client.query("select * from step_runs"), url);
    expect(rows.map(({ run_id: _, ...row }) => Object.values(row))).toEqual([
      ["a", "completed", 0.5, 1, 1],
      ["b", "failed", 0.5, 1, 3],
      ["c", "skipped", null, null, 0],
    ]);
  });

  test("sorts names by code unit, whatever the server's language is", async () => {
    const store = await open(await freshUrl());
    const { id } = await store.projects.ensure("default");
    for (const name of ["b", "B", "a", "ä", "Z"])
      await store.stacks.create({ projectId: id, name, deployer: "local" });
    const names = (await store.stacks.list(id)).map(({ name }) => name);
    expect(names).toEqual(["B", "Z", "a", "b", "ä"]);
    const { rows } = await asSuperuser((client) =>
      client.query(
        "select collation_name from information_schema.columns where column_name = 'name' and table_name = 'stacks'",
      ),
    );
    expect(new Set(rows.map((row) => row.collation_name))).toEqual(new Set(["C"]));
  });
});

describe("errors", () => {
  test("a newer store is refused, and left as it is", async () => {
    const url = await freshUrl();
    await open(url);
    await asSuperuser((client) => client.query("update millrace_store set version = 99"), url);
    expect(await failure(url)).toMatchObject({
      code: "STORE_NEWER",
      class: "usage",
      details: { version: 99 },
    });
  });

  test.each(["update millrace_store set version = 0", "drop table projects cascade"])(
    "a store whose tables are not those of its version is corrupt: %s",
    async (statement) => {
      const url = await freshUrl();
      await open(url);
      await asSuperuser((client) => client.query(statement), url);
      const use = async () => (await open(url)).projects.ensure("x");
      await expect(use()).rejects.toMatchObject({
        code: "STORE_CORRUPT",
        action: expect.stringContaining("backup"),
      });
    },
  );

  test("another program's schema is refused, an extension's tables are not", async () => {
    const url = await freshUrl();
    await asSuperuser((client) => client.query("create table notes (text text)"), url);
    expect(await failure(url)).toMatchObject({
      code: "STORE_FOREIGN",
      class: "usage",
      message: expect.stringContaining(schemaOf(url)),
    });
    const { rows } = await asSuperuser(
      (client) =>
        client.query(
          "select count(*)::int from pg_class where relnamespace = current_schema()::regnamespace",
        ),
      url,
    );
    expect(rows).toEqual([{ count: 1 }]);
  });

  test("a wrong password, and none", async () => {
    const url = inject("postgresUrl");
    const wrong = changed(url, (copy) => {
      copy.password = "geheim-1234";
    });
    expect(await failure(wrong)).toMatchObject({ code: "STORE_LOGIN", class: "usage" });
    const none = changed(url, (copy) => {
      copy.password = "";
    });
    expect(await failure(none)).toMatchObject({ code: "STORE_LOGIN", class: "usage" });
  });

  test("a database and a schema that are not there", async () => {
    const nowhere = changed(inject("postgresUrl"), (copy) => {
      copy.pathname = "/nowhere";
    });
    expect(await failure(nowhere)).toMatchObject({
      code: "STORE_MISSING",
      class: "usage",
      message: expect.stringMatching(/^The store postgres:\/\/millrace@127\.0\.0\.1:\d+\/nowhere /),
    });
    const schema = changed(inject("postgresUrl"), (copy) => {
      copy.searchParams.set("options", "-csearch_path=nowhere");
    });
    expect(await failure(schema)).toMatchObject({ code: "STORE_MISSING", class: "usage" });
  });

  test("a user without rights, to create and later to read", async () => {
    const { name, url } = await otherUser();
    expect(await failure(url)).toMatchObject({ code: "STORE_MISSING" });
    const schema = schemaOf(url);
    await asSuperuser((client) => client.query(`grant usage on schema ${schema} to ${name}`));
    expect(await failure(url)).toMatchObject({ code: "STORE_DENIED", class: "usage" });
    const { username, password } = new URL(inject("postgresUrl"));
    await open(changed(url, (copy) => Object.assign(copy, { username, password })));
    expect(await failure(url)).toMatchObject({ code: "STORE_DENIED", class: "usage" });
  });

  test("TLS that the server does not know", async () => {
    for (const mode of ["verify-full", "require"]) {
      const url = changed(inject("postgresUrl"), (copy) => copy.searchParams.set("sslmode", mode));
      expect(await failure(url)).toMatchObject({ code: "STORE_TLS", class: "usage" });
    }
  });

  test.each([
    ["sslrootcert", "/nowhere/ca.crt"],
    ["sslrootcert", "system"],
    ["sslrootcert", import.meta.dirname],
    ["sslcert", import.meta.filename],
    ["sslkey", import.meta.filename],
  ])("a file of the URL that is none: %s=%s", async (option, path) => {
    const server = createServer((socket) => socket.once("data", () => socket.end("S")));
    server.listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const address = server.address();
    const url = changed(inject("postgresUrl"), (copy) => {
      copy.port = typeof address === "string" ? "" : String(address?.port);
      copy.searchParams.set(option, path);
    });
    expect(await failure(url)).toMatchObject({
      code: "STORE_TLS",
      class: "usage",
      action: expect.stringContaining("Correct sslrootcert, sslcert or sslkey"),
    });
  });

  test("limits of the server, of time and of size", async () => {
    const url = await freshUrl();
    const limited = changed(url, (copy) => {
      const options = `-csearch_path=${schemaOf(url)} -cstatement_timeout=100`;
      copy.searchParams.set("options", options);
    });
    const store = await open(limited);
    await asSuperuser(async (client) => {
      await client.query("begin; lock table projects");
      await expect(store.projects.ensure("x")).rejects.toMatchObject({
        code: "STORE_LIMIT",
        class: "platform",
        message: expect.stringContaining("statement timeout"),
      });
    }, url);
    const pipelineName = randomBytes(8000).toString("hex");
    await expect(store.runs.record([sampleRun({ pipelineName })])).rejects.toMatchObject({
      code: "STORE_VALUE",
      class: "usage",
    });
  });

  test("a server that asks for TLS", async () => {
    const { name, url } = await otherUser();
    await asSuperuser(async (client) => {
      const { rows } = await client.query("select current_setting('hba_file') as file");
      const file = String(rows[0]?.file);
      const rules = `hostnossl all ${name} all reject\n${readFileSync(file, "utf8")}`;
      writeFileSync(file, rules);
      await client.query("select pg_reload_conf()");
    });
    await expect
      .poll(() => failure(url))
      .toMatchObject({
        code: "STORE_TLS",
        class: "usage",
        action: expect.stringContaining("?sslmode=verify-full"),
      });
  });

  test("a server that is too old", async () => {
    const url = await freshUrl();
    const schema = schemaOf(url);
    await asSuperuser(
      (client) =>
        client.query(`create function ${schema}.current_setting(name text) returns text language sql
          as $$ select case name when 'server_version_num' then '120022' else '12.22' end $$`),
      url,
    );
    const old = changed(url, (copy) =>
      copy.searchParams.set("options", `-csearch_path=${schema},pg_catalog`),
    );
    expect(await failure(old)).toMatchObject({
      code: "STORE_TOO_OLD",
      class: "usage",
      message: expect.stringMatching(/is on PostgreSQL 12\.22; Millrace needs 13 or newer/),
    });
  });

  test("a database that cannot keep every text", async () => {
    await asSuperuser((client) =>
      client.query("create database latin encoding 'LATIN1' locale 'C' template template0"),
    );
    const url = changed(inject("postgresUrl"), (copy) => {
      copy.pathname = "/latin";
    });
    expect(await failure(url)).toMatchObject({ code: "STORE_ENCODING", class: "usage" });
  });

  test("a server, a port and a host that are not there", async () => {
    const port = changed(inject("postgresUrl"), (copy) => {
      copy.port = "1";
    });
    const unreachable = { code: "STORE_UNREACHABLE", class: "unreachable", retryable: true };
    expect(await failure(port)).toMatchObject(unreachable);
    const host = changed(inject("postgresUrl"), (copy) => {
      copy.host = "nowhere.invalid";
    });
    expect(await failure(host)).toMatchObject(unreachable);
    expect(await failure("postgres://ada:geheim-1234@%2Fnowhere/x")).toMatchObject(unreachable);
  });

  test("a standby takes nothing new, and gives what is there", async () => {
    const url = await freshUrl();
    const primary = await open(url);
    const project = await primary.projects.ensure("default");
    const user = await primary.users.ensure("ada");
    const readOnly = changed(url, (copy) => {
      copy.searchParams.set(
        "options",
        `-csearch_path=${schemaOf(url)} -cdefault_transaction_read_only=on`,
      );
    });
    const store = await open(readOnly);
    expect(await store.projects.ensure("default")).toEqual(project);
    expect(await store.users.ensure("ada")).toEqual(user);
    expect((await store.runs.list(project.id)).items).toEqual([]);
    await expect(store.projects.ensure("x")).rejects.toMatchObject({ code: "STORE_READ_ONLY" });
  });

  test("a store that stays locked is named, after the wait", async () => {
    const url = await freshUrl();
    const store = await open(url, { lockTimeoutMs: 100 });
    await asSuperuser(async (client) => {
      await client.query("begin; lock table projects in exclusive mode");
      await expect(store.projects.ensure("x")).rejects.toMatchObject({
        code: "STORE_LOCKED",
        class: "conflict",
        retryable: true,
      });
    }, url);
    expect((await store.projects.ensure("x")).name).toBe("x");
  });

  test("a store that another process migrates is waited for", async () => {
    const url = await freshUrl();
    const { store } = await asSuperuser(async (client) => {
      await client.query("begin; select pg_advisory_xact_lock(x'4d6c7263'::bigint)");
      await expect(open(url, { lockTimeoutMs: 100 })).rejects.toMatchObject({
        code: "STORE_LOCKED",
      });
      const waiting = { store: open(url) };
      await expect
        .poll(async () => {
          const { rows } = await client.query(
            "select count(*)::int from pg_locks where locktype = 'advisory' and not granted",
          );
          return rows[0]?.count;
        })
        .toBe(1);
      return waiting;
    }, url);
    expect((await (await store).projects.ensure("x")).name).toBe("x");
  });

  test("a snapshot is not deleted when an operation for it began meanwhile", async () => {
    const url = await freshUrl();
    const store = await open(url);
    const { id: projectId } = await store.projects.ensure("default");
    const { id: userId } = await store.users.ensure("ada");
    const { id: pipelineId } = await store.pipelines.ensure(projectId, "weather");
    const snapshot = { id: `sha256:${"a".repeat(64)}`, projectId, pipelineId };
    const unnamed = { pipelineName: "weather", name: null, description: null };
    await store.snapshots.ensure({ ...snapshot, ...unnamed });
    const on = { stack: "default", deployer: "local", flavor: "local", deployerSettings: {} };
    const { id } = await store.deployments.create({ projectId, name: "weather", userId, ...on });
    await asSuperuser(async (client) => {
      await client.query("begin; update snapshots set created_at = created_at");
      const refused = expect(store.snapshots.delete(projectId, snapshot.id)).rejects.toMatchObject({
        code: "SNAPSHOT_IN_USE",
      });
      await expect
        .poll(async () => {
          const { rows } = await client.query(
            "select count(*)::int from pg_locks where not granted",
          );
          return rows[0]?.count;
        })
        .toBeGreaterThan(0);
      await client.query(
        `insert into operations (id, deployment_id, kind, outcome, user_name, snapshot_id, overrides, started_at)
          values ('o', $1, 'provision', 'running', 'ada', $2, '{}', 1)`,
        [id, snapshot.id],
      );
      await client.query("commit");
      await refused;
    }, url);
  });

  test("a null character is refused in words", async () => {
    const store = await open(await freshUrl());
    await expect(store.projects.ensure("a\0b")).rejects.toMatchObject({
      code: "STORE_VALUE",
      class: "usage",
    });
  });
});

describe("connections", () => {
  const connections = (url: string) =>
    asSuperuser(async (client) => {
      const { rows } = await client.query(
        "select pid from pg_stat_activity where application_name = $1",
        [new URL(url).searchParams.get("application_name")],
      );
      return rows.map(({ pid }) => Number(pid));
    });
  const namedUrl = async () =>
    changed(await freshUrl(), (copy) =>
      copy.searchParams.set("application_name", schemaOf(copy.href).slice(0, 40)),
    );

  const unnamed = (url: string) =>
    changed(url, (copy) => copy.searchParams.delete("application_name"));

  test("are few, and none is left after close", async () => {
    const url = await namedUrl();
    const store = await openStore({ url });
    await Promise.all(Array.from({ length: 60 }, (_, i) => store.projects.ensure(`p${i % 7}`)));
    const open = await connections(url);
    expect(open.length).toBeGreaterThan(1);
    expect(open.length).toBeLessThanOrEqual(5);
    await store.close();
    await expect.poll(() => connections(url)).toEqual([]);
  });

  describe("that hang", () => {
    beforeEach(() => {
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    });
    afterEach(() => {
      vi.useRealTimers();
    });

    test("end, for reads and writes, and the next ones are served by new ones", async () => {
      const wire = await openWire(await freshUrl());
      onTestFinished(() => wire.close());
      const store = await open(wire.url);
      const { id } = await store.projects.ensure("x");
      const calls = [() => store.runs.list(id), () => store.projects.ensure("y")];
      for (const call of calls) {
        wire.set("hang");
        const failed = expect(call()).rejects.toMatchObject({
          code: "STORE_UNREACHABLE",
          class: "unreachable",
          retryable: true,
        });
        await vi.advanceTimersByTimeAsync(45_000);
        await failed;
        wire.set("pass");
        await call();
      }
    }, 20_000);

    test("do not end while the store is migrated, which may take long", async () => {
      const dialect = postgresDialect(await freshUrl(), 100);
      const db = new Kysely<Database>({ dialect: dialect.kysely });
      onTestFinished(() => db.destroy());
      const slow: Migration = async (transaction) => {
        await vi.advanceTimersByTimeAsync(600_000);
        await sql`select 1`.execute(transaction);
      };
      await migrate(db, dialect, [slow]);
      expect(await dialect.readVersion(db)).toBe(1);
    });
  });

  test("that the server ends, idle or in a transaction, disturb nobody later", async () => {
    const url = await namedUrl();
    const store = await open(url, { lockTimeoutMs: 60_000 });
    const end = async () => {
      const pids = await connections(url);
      expect(pids.length).toBeGreaterThan(0);
      await asSuperuser((client) =>
        client.query("select pg_terminate_backend(pid) from unnest($1::int[]) as pid", [pids]),
      );
      await expect.poll(() => connections(url)).toEqual([]);
    };
    await store.projects.ensure("x");
    await end();
    await expect
      .poll(() =>
        store.projects.ensure("y").then(
          ({ name }) => name,
          () => "",
        ),
      )
      .toBe("y");
    await asSuperuser(async (client) => {
      await client.query("begin; lock table projects");
      const write = store.projects.ensure("z");
      const ended = expect(write).rejects.toMatchObject({ code: "STORE_UNREACHABLE" });
      await expect
        .poll(async () => {
          const { rows } = await client.query(
            "select count(*)::int from pg_locks where not granted",
          );
          return rows[0]?.count;
        })
        .toBeGreaterThan(0);
      await end();
      await ended;
    }, unnamed(url));
    expect((await store.projects.ensure("z")).name).toBe("z");
  });
});
