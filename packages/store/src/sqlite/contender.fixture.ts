import { setTimeout as sleep } from "node:timers/promises";
import { openStore, type Store } from "@millrace/store";

/** Run by tests, several at once: does one task on one store, so many rounds. */
const [task = "", url = "", rounds = "0"] = process.argv.slice(2);
const HOLDER = {
  host: "here",
  pid: process.pid,
  processStart: "1",
  purpose: "contend",
  since: Date.now(),
};

const store = await openStore({ url });
const project = await store.projects.ensure("default");
const tasks: Readonly<Record<string, () => Promise<void>>> = { open, count, lease, forever };
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
  const deployment: Parameters<Store["deployments"]["create"]>[0] = {
    projectId: project.id,
    name: "counter",
    userId: user.id,
    stack: "default",
    deployer: "local",
    flavor: "local",
    deployerSettings: {},
  };
  const created = await store.deployments.create(deployment).catch(() => null);
  const found = created ?? (await store.deployments.find(project.id, "counter"));
  return found?.id ?? "";
}
