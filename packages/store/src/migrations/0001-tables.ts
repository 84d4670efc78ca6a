import { type Kysely, sql } from "kysely";
import type { Database } from "../database.ts";
import type { StoreDialect } from "../dialect.ts";
import type { Migration } from "../migrations.ts";

type Ddl = StoreDialect["ddl"];

export const createTables: Migration = async (db, ddl) => {
  await createOwners(db, ddl);
  await createStacks(db, ddl);
  await createSnapshots(db, ddl);
  await createDeployments(db, ddl);
  await createRuns(db, ddl);
};

async function createOwners(db: Kysely<Database>, { key }: Ddl): Promise<void> {
  await db.schema
    .createTable("projects")
    .addColumn("id", key, (column) => column.primaryKey())
    .addColumn("name", key, (column) => column.notNull().unique())
    .addColumn("activeStack", "text")
    .addColumn("createdAt", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("users")
    .addColumn("id", key, (column) => column.primaryKey())
    .addColumn("name", key, (column) => column.notNull().unique())
    .addColumn("createdAt", "bigint", (column) => column.notNull())
    .execute();
}

async function createStacks(db: Kysely<Database>, { key }: Ddl): Promise<void> {
  await db.schema
    .createTable("components")
    .addColumn("id", key, (column) => column.primaryKey())
    .addColumn("projectId", key, (column) => column.notNull().references("projects.id"))
    .addColumn("type", "text", (column) => column.notNull())
    .addColumn("name", key, (column) => column.notNull())
    .addColumn("flavor", key, (column) => column.notNull())
    .addColumn("settings", "text", (column) => column.notNull())
    .addColumn("createdAt", "bigint", (column) => column.notNull())
    .addUniqueConstraint("componentName", ["projectId", "type", "name"])
    .execute();
  await db.schema
    .createTable("stacks")
    .addColumn("id", key, (column) => column.primaryKey())
    .addColumn("projectId", key, (column) => column.notNull().references("projects.id"))
    .addColumn("name", key, (column) => column.notNull())
    .addColumn("deployer", key, (column) => column.notNull())
    .addColumn("createdAt", "bigint", (column) => column.notNull())
    .addUniqueConstraint("stackName", ["projectId", "name"])
    .execute();
}

async function createSnapshots(db: Kysely<Database>, { key }: Ddl): Promise<void> {
  await db.schema
    .createTable("pipelines")
    .addColumn("id", key, (column) => column.primaryKey())
    .addColumn("projectId", key, (column) => column.notNull().references("projects.id"))
    .addColumn("name", key, (column) => column.notNull())
    .addColumn("createdAt", "bigint", (column) => column.notNull())
    .addUniqueConstraint("pipelineName", ["projectId", "name"])
    .execute();
  await db.schema
    .createTable("snapshots")
    .addColumn("projectId", key, (column) => column.notNull().references("projects.id"))
    .addColumn("id", key, (column) => column.notNull())
    .addColumn("pipelineId", key, (column) => column.notNull().references("pipelines.id"))
    .addColumn("name", key)
    .addColumn("description", "text")
    .addColumn("createdAt", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("snapshotKey", ["projectId", "id"])
    .addUniqueConstraint("snapshotName", ["projectId", "name"])
    .execute();
  await db.schema
    .createIndex("snapshotsByTime")
    .on("snapshots")
    .columns(["projectId", "createdAt", "id"])
    .execute();
}

async function createDeployments(db: Kysely<Database>, { key }: Ddl): Promise<void> {
  await db.schema
    .createTable("deployments")
    .addColumn("id", key, (column) => column.primaryKey())
    .addColumn("projectId", key, (column) => column.notNull().references("projects.id"))
    .addColumn("name", key, (column) => column.notNull())
    .addColumn("userId", key, (column) => column.notNull().references("users.id"))
    .addColumn("stack", key, (column) => column.notNull())
    .addColumn("deployer", key, (column) => column.notNull())
    .addColumn("flavor", key, (column) => column.notNull())
    .addColumn("deployerSettings", "text", (column) => column.notNull())
    .addColumn("snapshotId", key)
    .addColumn("revision", "text")
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("statusReason", "text")
    .addColumn("observedAt", "bigint")
    .addColumn("url", "text")
    .addColumn("authKeyHash", "text")
    .addColumn("metadata", "text", (column) => column.notNull())
    .addColumn("createdAt", "bigint", (column) => column.notNull())
    .addColumn("updatedAt", "bigint", (column) => column.notNull())
    .addUniqueConstraint("deploymentName", ["projectId", "name"])
    .addUniqueConstraint("deploymentSnapshot", ["projectId", "snapshotId"])
    .addForeignKeyConstraint("deploymentSnapshotExists", ["projectId", "snapshotId"], "snapshots", [
      "projectId",
      "id",
    ])
    .execute();
  await db.schema
    .createIndex("deploymentsByAge")
    .on("deployments")
    .columns(["projectId", "id"])
    .execute();
  await db.schema
    .createTable("operations")
    .addColumn("id", key, (column) => column.primaryKey())
    .addColumn("deploymentId", key, (column) =>
      column.notNull().references("deployments.id").onDelete("cascade"),
    )
    .addColumn("kind", key, (column) => column.notNull())
    .addColumn("outcome", "text", (column) => column.notNull())
    .addColumn("userName", "text", (column) => column.notNull())
    .addColumn("snapshotId", key)
    .addColumn("revision", "text")
    .addColumn("previousSnapshotId", key)
    .addColumn("overrides", "text", (column) => column.notNull())
    .addColumn("error", "text")
    .addColumn("startedAt", "bigint", (column) => column.notNull())
    .addColumn("endedAt", "bigint")
    .execute();
  await db.schema
    .createIndex("operationsByDeployment")
    .on("operations")
    .columns(["deploymentId", "id"])
    .execute();
  await db.schema
    .createTable("inventory")
    .addColumn("deploymentId", key, (column) =>
      column.notNull().references("deployments.id").onDelete("cascade"),
    )
    .addColumn("kind", key, (column) => column.notNull())
    .addColumn("name", key, (column) => column.notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("platformId", "text")
    .addColumn("position", "integer", (column) => column.notNull())
    .addColumn("updatedAt", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("inventoryKey", ["deploymentId", "kind", "name"])
    .execute();
  await db.schema
    .createTable("leases")
    .addColumn("name", key, (column) => column.primaryKey())
    .addColumn("token", "bigint", (column) => column.notNull())
    .addColumn("holder", "text")
    .addColumn("expiresAt", "bigint", (column) => column.notNull())
    .execute();
}

async function createRuns(db: Kysely<Database>, ddl: Ddl): Promise<void> {
  const { key, identity, clustered, stepRuns } = ddl;
  await db.schema
    .createTable("runOrigins")
    .addColumn("id", sql`${identity}`)
    .addColumn("projectId", key, (column) => column.notNull())
    .addColumn("pipelineName", key, (column) => column.notNull())
    .addColumn("snapshotId", key, (column) => column.notNull())
    .addColumn("deploymentId", key, (column) => column.notNull())
    .addUniqueConstraint("runOrigin", ["projectId", "pipelineName", "snapshotId", "deploymentId"])
    .execute();
  await db.schema
    .createIndex("runOriginsByDeployment")
    .on("runOrigins")
    .columns(["deploymentId"])
    .execute();
  // Ids grow with time, so a run is appended to the end of the table and of each index.
  await db.schema
    .createTable("runs")
    .addColumn("id", key, (column) => column.notNull().primaryKey())
    .addColumn("originId", "integer", (column) => column.notNull())
    .addColumn("name", key)
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("startedAt", "bigint", (column) => column.notNull())
    .addColumn("durationMs", sql`double precision`)
    .addColumn("inputs", "text", (column) => column.notNull())
    .addColumn("outputs", "text")
    .addColumn("steps", "text", (column) => column.notNull())
    .addColumn("error", "text")
    .modifyEnd(sql`${clustered}`)
    .execute();
  await db.schema.createIndex("runsByOrigin").on("runs").columns(["originId", "id"]).execute();
  // Most runs complete and have no name of their own: they are left out of these two.
  await sql`create index runs_by_status on runs (status, id) where status <> 'completed'`.execute(
    db,
  );
  await sql`create index runs_by_name on runs (name, id) where name is not null`.execute(db);
  await sql`create view step_runs as ${stepRuns}`.execute(db);
}
