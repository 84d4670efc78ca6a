import { isAbsolute, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { MillraceError, uuidv7Source } from "@millrace/core";
import { CamelCasePlugin, Kysely } from "kysely";
import { type AccessOptions, createAccess, retrying } from "./access.ts";
import type { Database } from "./database.ts";
import type { StoreDialect } from "./dialect.ts";
import type { StoreOptions } from "./index.ts";
import { migrate } from "./migrations.ts";
import { isPostgresUrl } from "./postgres/url.ts";
import { componentRepository } from "./repositories/components.ts";
import { deploymentRepository } from "./repositories/deployments.ts";
import { inventoryRepository } from "./repositories/inventory.ts";
import { leaseRepository } from "./repositories/leases.ts";
import { operationRepository } from "./repositories/operations.ts";
import { pipelineRepository } from "./repositories/pipelines.ts";
import { projectRepository } from "./repositories/projects.ts";
import { runRepository } from "./repositories/runs.ts";
import { snapshotRepository } from "./repositories/snapshots.ts";
import { stackRepository } from "./repositories/stacks.ts";
import { userRepository } from "./repositories/users.ts";
import type { Store } from "./store.ts";

const LOCK_TIMEOUT_MS = 10_000;

export async function open(options: StoreOptions): Promise<Store> {
  const now = options.now ?? Date.now;
  const lockTimeoutMs = options.lockTimeoutMs ?? LOCK_TIMEOUT_MS;
  const dialect = await dialectOf(options.url, lockTimeoutMs);
  const db = new Kysely<Database>({ dialect: dialect.kysely, plugins: [new CamelCasePlugin()] });
  await migrateOrClose(db, dialect, lockTimeoutMs);
  return storeOver({ db, dialect, now, newId: uuidv7Source(now), lockTimeoutMs });
}

/** Loads the driver of one database and not the other's. */
async function dialectOf(url: string, lockTimeoutMs: number): Promise<StoreDialect> {
  if (isPostgresUrl(url)) {
    const { postgresDialect } = await import("./postgres/dialect.ts");
    return postgresDialect(url, lockTimeoutMs);
  }
  const { sqliteDialect } = await import("./sqlite/dialect.ts");
  return sqliteDialect(fileOf(url));
}

async function migrateOrClose(db: Kysely<Database>, dialect: StoreDialect, lockTimeoutMs: number) {
  try {
    await retrying(dialect, lockTimeoutMs, () => migrate(db, dialect));
  } catch (thrown) {
    await db.destroy().catch(() => undefined);
    throw dialect.translate(thrown) ?? thrown;
  }
}

function storeOver(options: AccessOptions): Store {
  const access = createAccess(options);
  return {
    projects: projectRepository(access),
    users: userRepository(access),
    components: componentRepository(access),
    stacks: stackRepository(access),
    pipelines: pipelineRepository(access),
    snapshots: snapshotRepository(access),
    deployments: deploymentRepository(access),
    operations: operationRepository(access),
    inventory: inventoryRepository(access),
    runs: runRepository(access),
    leases: leaseRepository(access),
    close: () => options.db.destroy(),
  };
}

/** @throws MillraceError `STORE_URL` */
function fileOf(url: string): string {
  try {
    if (url.startsWith("file://")) return fileURLToPath(url);
  } catch (cause) {
    throw badUrl(url, cause);
  }
  if (url.startsWith("file:")) return resolve(url.slice("file:".length));
  if (isAbsolute(url)) return url;
  throw badUrl(url);
}

function badUrl(url: string, cause?: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "STORE_URL",
    // A URL may hold a password: only its scheme is shown.
    message: `The store's URL${url.includes(":") ? ` (${url.slice(0, url.indexOf(":") + 1)}…)` : ""} is not the URL of a store.`,
    action:
      "Give a `file:` URL with an absolute path, such as `file:///var/lib/millrace/millrace.db`, or postgres://user:password@host/database.",
    cause,
  });
}
