import { setTimeout as sleep } from "node:timers/promises";
import { openStore } from "@millrace/store";

/** Run by tests, several at once: does one task on one store, so many rounds. */
const [task = "", url = "", rounds = "0", number = "0"] = process.argv.slice(2);
const HOLDER = {
  host: "here",
  pid: process.pid,
  processStart: "1",
  purpose: "contend",
  since: Date.now(),
};

const store = await openStore({ url });
const project = await store.projects.ensure("default");
const tasks: Readonly<Record<string, () => Promise<void>>> = { open, count, lease, claim, forever };
await tasks[task]?.();
await store.close();

async function open(): Promise<void> {
  console.log(project.id);
}

/** Adds one, under a lease, so often. */
async function count(): Promise<void> {
  const id = await ensureCounter();
  for (let i = 0; i < Number(rounds); i++) {
    const held = await waitForLease(`deployment:${id}`);
    const found = await store.deployments.find(project.id, id);
    const before = found?.metadata["count"];
    const metadata = { count: typeof before === "number" ? before + 1 : 1 };
    await store.deployments.update(id, { metadata }, held);
    await store.leases.release(held);
  }
}

/** Prints each token that it got. */
async function lease(): Promise<void> {
  for (let i = 0; i < Number(rounds); i++) {
    const held = await waitForLease("contended");
    console.log(held.token);
    await store.leases.renew(held, 60_000);
    await store.leases.release(held);
  }
}

/** Tries to be the first, in three ways each round, and prints where it was. */
async function claim(): Promise<void> {
  const user = await store.users.ensure("ada");
  const pipelineId = (await store.pipelines.ensure(project.id, "weather")).id;
  const own = await createDeployment(`of-${number}`, user.id);
  const held = await waitForLease(`deployment:${own.id}`);
  for (let i = 0; i < Number(rounds); i++) {
    const snapshot = { projectId: project.id, pipelineId, pipelineName: "weather" };
    const id = (text: string) => `sha256:${text.padEnd(64, "0")}`;
    const rest = { name: `v${i}`, description: null };
    await first("named", i, "SNAPSHOT_NAME_TAKEN", () =>
      store.snapshots.ensure({ ...snapshot, ...rest, id: id(`${i}a${number}`) }),
    );
    await store.snapshots.ensure({ ...snapshot, ...rest, name: null, id: id(`${i}b`) });
    await first("deployed", i, "SNAPSHOT_DEPLOYED", () =>
      store.deployments.update(own.id, { snapshotId: id(`${i}b`) }, held),
    );
    await first("renamed", i, "DEPLOYMENT_EXISTS", () =>
      store.deployments.update(own.id, { name: `name-${i}` }, held),
    );
    await meet(i);
  }
}

async function first(what: string, round: number, loses: string, attempt: () => Promise<unknown>) {
  try {
    await attempt();
    console.log(`${what} ${round}`);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === loses)) throw error;
  }
}

/** Waits for the others, so that nobody lets go of what it won while they still try for it. */
async function meet(round: number): Promise<void> {
  const stack = `round-${round}`;
  const met = (name: string) => store.stacks.get(project.id, name);
  await store.stacks.create({
    projectId: project.id,
    name: `${stack}-${number}`,
    deployer: "local",
  });
  for (const other of ["0", "1", "2"]) {
    while ((await met(`${stack}-${other}`)) === null) await sleep(1);
  }
}

async function forever(): Promise<void> {
  for (let i = 0; ; i++) {
    await store.stacks.create({ projectId: project.id, name: `stack-${i}`, deployer: "local" });
    console.log(i);
  }
}

async function waitForLease(name: string) {
  for (;;) {
    const attempt = await store.leases.acquire(name, HOLDER, 60_000);
    if (attempt.acquired) return attempt.lease;
    await sleep(Math.random() * 3);
  }
}

async function ensureCounter(): Promise<string> {
  const user = await store.users.ensure("ada");
  const created = await createDeployment("counter", user.id).catch(() => null);
  const found = created ?? (await store.deployments.find(project.id, "counter"));
  return found?.id ?? "";
}

function createDeployment(name: string, userId: string) {
  return store.deployments.create({
    projectId: project.id,
    name,
    userId,
    stack: "default",
    deployer: "local",
    flavor: "local",
    deployerSettings: {},
  });
}
