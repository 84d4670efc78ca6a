import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Observation, Secret } from "@millrace/core";
import plugin from "@millrace/deployer-local";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { eventually, isRunning, supervisorPid, TestBed } from "./bed.fixture.ts";
import { settingsSchema } from "./settings.ts";

const answerSchema = z.object({
  pid: z.int(),
  version: z.string(),
  secrets: z.record(z.string(), z.string()),
  secretsFolder: z.string().optional(),
  environment: z.record(z.string(), z.string()),
});

type Answer = z.output<typeof answerSchema>;

async function ask(url: string | null, path = "/"): Promise<Answer> {
  const response = await fetch(`${url}${path}`, { headers: { connection: "close" } });
  return answerSchema.parse(await response.json());
}

let bed: TestBed;

beforeEach(async () => {
  bed = await TestBed.open(plugin);
});

afterEach(() => bed.close());

describe("a deployment", () => {
  test("comes up, answers, and leaves nothing behind", async () => {
    const plan = await bed.deployer.plan(bed.request(), bed.context());
    expect(plan.action).toBe("create");
    expect(existsSync(bed.folder)).toBe(false);

    const up = await bed.provision();
    expect(up).toMatchObject({
      state: "running",
      serving: { revision: "1", snapshotId: "snapshot-1" },
      rollout: { revision: "1", phase: "complete", error: null },
      error: null,
    });
    expect(up.resources.map(({ kind }) => kind)).toEqual(plan.changes.map(({ kind }) => kind));
    const { pid, version } = await ask(up.url);
    expect(version).toBe("1");

    const down = await bed.deprovision();
    expect(down).toMatchObject({ state: "absent", url: null, serving: null, resources: [] });
    expect(isRunning(pid)).toBe(false);
    expect(isRunning(supervisorPid(up))).toBe(false);
    expect(readdirSync(join(bed.stateDirectory, "deployments"))).toEqual(["lock"]);
    expect(bed.journal.map(({ call, kind }) => `${call} ${kind}`)).toEqual([
      "intend folder",
      "intend process",
      "present folder",
      "present process",
      "gone process",
      "gone folder",
    ]);
  });

  test("is not touched by the same request again", async () => {
    const before = await bed.provision();
    expect(await bed.deployer.plan(bed.request(), bed.context())).toMatchObject({
      action: "no-op",
      interrupts: false,
    });
    const after = await bed.provision();
    expect(after).toEqual(before);
  });

  test("has one supervisor when several provision at once", async () => {
    const seen = await Promise.all(
      [1, 2, 3, 4].map(() => bed.deployer.provision(bed.request(), bed.context())),
    );
    expect(new Set(seen.map(supervisorPid)).size).toBe(1);
    await eventually(() => bed.processes().length === 2);
    const up = await bed.until(({ state }) => state === "running");
    const logs = await bed.logs();
    expect(logs.filter(({ text }) => text === "starting 1")).toHaveLength(1);
    expect(await ask(up.url)).toMatchObject({ version: "1" });
  });

  test("keeps its URL when it is deprovisioned and provisioned again, although nothing remembers it", async () => {
    const { url } = await bed.provision();
    await bed.deprovision();
    bed.metadata = {};
    expect((await bed.provision()).url).toBe(url);
  });

  test("answers what is in flight before it goes", async () => {
    const { url } = await bed.provision();
    const slow = ask(url, "/slow?ms=400");
    await ask(url);
    await bed.deprovision();
    expect(await slow).toMatchObject({ version: "1" });
  });

  test("runs as many workers as its settings say", async () => {
    const up = await bed.provision({ settings: { workers: 3 } });
    expect(up.metadata["workers"]).toHaveLength(3);
  });
});

describe("an update", () => {
  test("replaces the worker on the same URL", async () => {
    const before = await bed.provision();
    const { pid } = await ask(before.url);
    const plan = await bed.deployer.plan(bed.request({ revision: "2" }), bed.context());
    expect(plan).toMatchObject({ action: "update", interrupts: false });
    const after = await bed.provision({ revision: "2" });
    expect(after.url).toBe(before.url);
    expect(after.serving).toEqual({ revision: "2", snapshotId: "snapshot-2" });
    expect(supervisorPid(after)).toBe(supervisorPid(before));
    await eventually(() => !isRunning(pid));
    expect(await ask(after.url)).toMatchObject({ version: "2" });
  });

  test.each([
    ["exits", "exit", "WORKER_EXITED", "no way to go on"],
    ["fails in onInit", "fail", "INIT_FAILED", "starting 2"],
    ["never gets ready", "hang", "WORKER_START_TIMEOUT", "starting 2"],
  ])("that %s leaves the old revision serving", async (_name, BEHAVIOUR, code, lastLine) => {
    const before = await bed.provision();
    const { pid } = await ask(before.url);
    const after = await bed.provision({
      revision: "2",
      environment: { BEHAVIOUR },
      settings: { startTimeoutSeconds: 1 },
    });
    expect(after).toMatchObject({
      state: "running",
      url: before.url,
      serving: { revision: "1" },
      rollout: { revision: "2", phase: "failed", error: { code } },
      error: null,
    });
    const lines = z.array(z.string()).parse(after.rollout?.error?.details["logs"]);
    expect(lines.at(-1)).toBe(lastLine);
    expect(await ask(after.url)).toMatchObject({ pid, version: "1" });
    const back = await bed.provision();
    expect(back.rollout).toMatchObject({ revision: "1", phase: "complete" });
    expect(await ask(after.url)).toMatchObject({ pid });
  });

  test("that is overtaken by another is given up", async () => {
    await bed.provision();
    await bed.deployer.provision(
      bed.request({ revision: "2", environment: { BEHAVIOUR: "hang" } }),
      bed.context(),
    );
    const after = await bed.provision({ revision: "3" });
    expect(after.serving?.revision).toBe("3");
    await bed.until(({ metadata: { workers } }) => Array.isArray(workers) && workers.length === 1);
  });

  test("to another port moves the deployment and says so before", async () => {
    const before = await bed.provision();
    const port = Number(new URL(before.url ?? "").port) === 29_998 ? 29_997 : 29_998;
    const wanted = { revision: "2", settings: { port } };
    const plan = await bed.deployer.plan(bed.request(wanted), bed.context());
    expect(plan).toMatchObject({ action: "replace", interrupts: true });
    expect(plan.changes.find(({ kind }) => kind === "process")?.fields).toContainEqual({
      field: "port",
      before: before.metadata["port"],
      after: port,
    });
    const after = await bed.provision(wanted);
    expect(after.url).toBe(`http://127.0.0.1:${port}`);
    expect(isRunning(supervisorPid(before))).toBe(false);
    expect(await ask(after.url)).toMatchObject({ version: "2" });
  });
});

describe("a first start that fails", () => {
  test("is reported with the last log lines and not tried again", async () => {
    const failed = await bed.provision({ environment: { BEHAVIOUR: "exit" } });
    expect(failed).toMatchObject({
      state: "failed",
      serving: null,
      error: { code: "WORKER_EXITED", details: { exitCode: 3 } },
    });
    expect(failed.error?.details["logs"]).toEqual(["starting 1", "no way to go on"]);
    expect(failed.metadata["workers"]).toEqual([]);
    const healed = await bed.provision({ revision: "2" });
    expect(healed).toMatchObject({ state: "running", url: failed.url });
  });
});

describe("a crashed worker", () => {
  test("is restarted, and requests that come meanwhile wait for it", async () => {
    const { url } = await bed.provision();
    const { pid } = await ask(url);
    await expect(ask(url, "/crash")).rejects.toThrow();
    expect((await ask(url)).pid).not.toBe(pid);
    expect((await bed.inspect()).metadata["restarts"]).toBe(1);
  });

  test("that cannot be restarted is failed, and mended without a provision", async () => {
    const broken = join(bed.directory, "broken");
    const { url } = await bed.provision({
      environment: { BREAKS_IF: broken },
      settings: { maxRestartDelaySeconds: 0.2 },
    });
    writeFileSync(broken, "");
    await expect(ask(url, "/crash")).rejects.toThrow();
    const failed = await bed.until(({ state }) => state === "failed");
    expect(failed).toMatchObject({ serving: null, url, error: { code: "WORKER_EXITED" } });
    rmSync(broken);
    expect(await ask(url)).toMatchObject({ version: "1" });
    expect(await bed.inspect()).toMatchObject({ state: "running", error: null });
  });
});

describe("a supervisor that was killed", () => {
  test("takes its workers with it, and is replaced on the same port", async () => {
    const before = await bed.provision();
    const { pid } = await ask(before.url);
    process.kill(supervisorPid(before), "SIGKILL");
    await eventually(() => !isRunning(pid));
    const gone = await bed.inspect();
    expect(gone).toMatchObject({
      state: "failed",
      serving: null,
      url: before.url,
      error: { code: "SUPERVISOR_GONE" },
    });
    expect(gone.resources.map(({ kind }) => kind)).toEqual(["folder"]);
    expect((await bed.deployer.plan(bed.request(), bed.context())).changes).toMatchObject([
      { kind: "folder", action: "no-op" },
      { kind: "process", action: "create" },
    ]);
    const after = await bed.provision();
    expect(after).toMatchObject({ state: "running", url: before.url });
    expect(await ask(after.url)).toMatchObject({ version: "1" });
  });

  test("is replaced although a worker did not notice", async () => {
    const before = await bed.provision({ environment: { BEHAVIOUR: "ignores-disconnect" } });
    const { pid } = await ask(before.url);
    process.kill(supervisorPid(before), "SIGKILL");
    expect((await bed.provision({ revision: "2" })).url).toBe(before.url);
    expect(isRunning(pid)).toBe(false);
  });

  test.each([
    [
      "its state file does not name",
      () => {
        const file = join(bed.folder, "state.json");
        const state = JSON.parse(readFileSync(file, "utf8"));
        writeFileSync(file, JSON.stringify({ ...state, workers: [] }));
      },
    ],
    ["no file names", () => rmSync(join(bed.stateDirectory, "deployments"), { recursive: true })],
  ])("is removed with a worker that %s and that did not notice", async (_which, forget) => {
    const before = await bed.provision({ environment: { BEHAVIOUR: "ignores-disconnect" } });
    const { pid } = await ask(before.url);
    process.kill(supervisorPid(before), "SIGKILL");
    await eventually(() => !isRunning(supervisorPid(before)));
    forget();
    expect(await bed.deprovision()).toMatchObject({ state: "absent" });
    await eventually(() => !isRunning(pid));
  });

  test("is replaced although its state file does not name a worker that has its port", async () => {
    const before = await bed.provision({ environment: { BEHAVIOUR: "ignores-disconnect" } });
    const { pid } = await ask(before.url);
    process.kill(supervisorPid(before), "SIGKILL");
    await eventually(() => !isRunning(supervisorPid(before)));
    const file = join(bed.folder, "state.json");
    const state = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify({ ...state, workers: [] }));
    expect((await bed.provision({ revision: "2" })).url).toBe(before.url);
    expect(isRunning(pid)).toBe(false);
  });

  test("is observed and removed although its state file is damaged", async () => {
    const before = await bed.provision({ environment: { BEHAVIOUR: "ignores-disconnect" } });
    const { pid } = await ask(before.url);
    process.kill(supervisorPid(before), "SIGKILL");
    await eventually(() => !isRunning(supervisorPid(before)));
    writeFileSync(join(bed.folder, "state.json"), "{");
    expect(await bed.inspect()).toMatchObject({
      state: "failed",
      error: { code: "SUPERVISOR_GONE" },
    });
    expect(await bed.deprovision()).toMatchObject({ state: "absent" });
    await eventually(() => !isRunning(pid));
    expect(readdirSync(join(bed.stateDirectory, "deployments"))).toEqual(["lock"]);
  });

  test("is removed with all that it left", async () => {
    const before = await bed.provision({ environment: { BEHAVIOUR: "ignores-disconnect" } });
    const { pid } = await ask(before.url);
    process.kill(supervisorPid(before), "SIGKILL");
    expect(await bed.deprovision()).toMatchObject({ state: "absent" });
    await eventually(() => !isRunning(pid));
    expect(existsSync(bed.folder)).toBe(false);
  });
});

describe("a worker", () => {
  test("that never gives up its thread is replaced, and one that answers is not", async () => {
    const up = await bed.provision({ settings: { workers: 2, silenceTimeoutSeconds: 1 } });
    const pids = new Set<number>();
    await eventually(async () => pids.add((await ask(up.url)).pid).size === 2);
    const stuck = ask(up.url, "/loop");
    await expect(stuck).rejects.toThrow();
    const healed = await bed.until(
      ({ metadata }) => metadata["restarts"] === 1 && workersReady(metadata) === 2,
    );
    expect(supervisorPid(healed)).toBe(supervisorPid(up));
    const logs = await bed.logs();
    expect(logs.some(({ text }) => text.includes("has not answered its supervisor for 1"))).toBe(
      true,
    );
    const after = new Set<number>();
    await eventually(async () => after.add((await ask(up.url)).pid).size === 2);
    expect([...after].filter((pid) => pids.has(pid))).toHaveLength(1);
  });
});

function workersReady({ workers }: Readonly<Record<string, unknown>>): number {
  return JSON.stringify(workers).split('"ready"').length - 1;
}

describe("a supervisor", () => {
  test.each([
    ["state file", (folder: string) => rmSync(join(folder, "state.json"))],
    ["control socket", (folder: string) => rmSync(join(folder, "control.sock"))],
    ["whole folder", (folder: string) => rmSync(folder, { recursive: true })],
  ])("is found again after somebody deleted its %s", async (_name, remove) => {
    const before = await bed.provision();
    remove(bed.folder);
    const after = await bed.until(({ state }) => state === "running");
    expect(supervisorPid(after)).toBe(supervisorPid(before));
    expect(await ask(after.url)).toMatchObject({ version: "1" });
  });

  test.each([
    ["control socket", (folder: string) => join(folder, "control.sock")],
    ["note of its process", (folder: string) => `${folder}.process`],
  ])("keeps the service up while its %s cannot be made anew", async (_what, place) => {
    const before = await bed.provision();
    process.kill(supervisorPid(before), "SIGSTOP");
    rmSync(join(bed.folder, "control.sock"));
    rmSync(place(bed.folder), { force: true });
    mkdirSync(place(bed.folder));
    process.kill(supervisorPid(before), "SIGCONT");
    const complaints = async (): Promise<number> =>
      (await bed.logs()).filter(({ text }) => text.includes("cannot be asked")).length;
    await eventually(async () => (await complaints()) === 1);
    expect(await ask(before.url)).toMatchObject({ version: "1" });
    rmdirSync(place(bed.folder));
    await eventually(() => existsSync(place(bed.folder)));
    const after = await bed.until(({ state }) => state === "running");
    expect(supervisorPid(after)).toBe(supervisorPid(before));
    expect(await complaints()).toBe(1);
  });

  test("is not mistaken for a later process of the same id", async () => {
    const before = await bed.provision();
    process.kill(supervisorPid(before), "SIGKILL");
    await eventually(() => !isRunning(supervisorPid(before)));
    const file = join(bed.folder, "state.json");
    const innocent = process.pid;
    const state = JSON.parse(readFileSync(file, "utf8"));
    const worker = { ...state.workers[0], pid: innocent };
    writeFileSync(file, JSON.stringify({ ...state, pid: innocent, workers: [worker] }));
    expect(await bed.inspect()).toMatchObject({ state: "failed" });
    expect(await bed.deprovision()).toMatchObject({ state: "absent" });
  });

  test("whose folder was moved is not said to be gone", async () => {
    const supervisor = supervisorPid(await bed.provision());
    const moved = `${bed.stateDirectory}-moved`;
    process.kill(supervisor, "SIGSTOP");
    try {
      renameSync(bed.stateDirectory, moved);
      const deployer = await plugin.flavors[0]?.create({
        name: "local",
        settings: settingsSchema.parse({}),
        stateDirectory: moved,
      });
      rmSync(join(moved, "deployments", bed.target.id, "control.sock"));
      expect(await deployer?.inspect(bed.target, bed.context())).toMatchObject({
        state: "failed",
        error: {
          code: "SUPERVISOR_GONE",
          message: expect.stringContaining(`(process ${supervisor}) runs, and cannot be asked`),
        },
      });
    } finally {
      renameSync(moved, bed.stateDirectory);
      process.kill(supervisor, "SIGCONT");
    }
    await bed.until(({ state }) => state === "running");
  });

  test("is ended by a deprovision although its folder was deleted", async () => {
    const supervisor = supervisorPid(await bed.provision());
    rmSync(bed.folder, { recursive: true });
    expect(await bed.deprovision()).toMatchObject({ state: "absent", resources: [] });
    expect(isRunning(supervisor)).toBe(false);
    expect(existsSync(bed.folder)).toBe(false);
  });

  describe("that was stopped and whose folder was deleted", () => {
    let before: Observation;

    beforeEach(async () => {
      before = await bed.provision();
      process.kill(supervisorPid(before), "SIGSTOP");
      rmSync(bed.folder, { recursive: true });
    });

    test("is not said to be absent, and is ended by a deprovision", async () => {
      expect(await bed.inspect()).toMatchObject({
        state: "failed",
        error: { code: "SUPERVISOR_GONE" },
        resources: [{ kind: "process", platformId: String(supervisorPid(before)) }],
      });
      expect(await bed.deprovision()).toMatchObject({ state: "absent", resources: [] });
      expect(isRunning(supervisorPid(before))).toBe(false);
      expect(readdirSync(join(bed.stateDirectory, "deployments"))).toEqual(["lock"]);
    });

    test("is replaced by a provision, on the same port", async () => {
      const port = Number(before.metadata["port"]);
      const after = await bed.provision({ settings: { port } });
      expect(after.url).toBe(before.url);
      expect(isRunning(supervisorPid(before))).toBe(false);
      expect(await ask(after.url)).toMatchObject({ version: "1" });
    });
  });

  test("outlives the one that started it but not an order to end", async () => {
    const before = await bed.provision();
    process.kill(supervisorPid(before), "SIGTERM");
    await eventually(() => !isRunning(supervisorPid(before)));
    expect(await bed.inspect()).toMatchObject({ state: "failed", url: before.url });
  });
});

describe("secrets", () => {
  const value = "correct horse battery staple";

  test("reach the worker by files that are gone once it is ready", async () => {
    const { url } = await bed.provision({ secrets: { TOKEN: new Secret(value) } });
    const { secrets, secretsFolder } = await ask(url);
    expect(secrets).toEqual({ TOKEN: value });
    expect(secretsFolder).toBeTypeOf("string");
    await eventually(() => !existsSync(secretsFolder ?? ""));
    await expect(ask(url, "/crash")).rejects.toThrow();
    expect((await ask(url)).secrets).toEqual({ TOKEN: value });
  });

  test("stand in no file, command line, environment or log", async () => {
    const up = await bed.provision({ secrets: { TOKEN: new Secret(value) } });
    const { pid, environment } = await ask(up.url, `/print?text=${encodeURIComponent(value)}!`);
    expect(JSON.stringify(environment)).not.toContain(value);
    await eventually(async () => (await bed.logs()).some(({ text }) => text === "[secret]!"));
    for (const entry of readdirSync(bed.folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      expect(readFileSync(join(entry.parentPath, entry.name), "utf8")).not.toContain(value);
    }
    for (const id of process.platform === "linux" ? [pid, supervisorPid(up)] : []) {
      expect(readFileSync(`/proc/${id}/cmdline`, "utf8")).not.toContain(value);
      expect(readFileSync(`/proc/${id}/environ`, "utf8")).not.toContain(value);
    }
  });

  test("stand in no error, state file or log when a service fails with them", async () => {
    const failed = await bed.provision({
      secrets: { TOKEN: new Secret(value) },
      environment: { BEHAVIOUR: "leak" },
    });
    expect(failed).toMatchObject({
      state: "failed",
      error: {
        message: "onInit failed: cannot log in with [secret]",
        details: { token: "[secret]" },
      },
    });
    expect(readFileSync(join(bed.folder, "state.json"), "utf8")).not.toContain(value);
    const logs = await bed.logs();
    expect(logs.some(({ text }) => text.includes("cannot log in with [secret]"))).toBe(true);
    expect(JSON.stringify(logs)).not.toContain(value);
  });

  test("are told apart by a plan that shows no value", async () => {
    await bed.provision({ secrets: { OLD: new Secret("aaaa"), SAME: new Secret("bbbb") } });
    const plan = await bed.deployer.plan(
      bed.request({
        revision: "2",
        secrets: { NEW: new Secret("cccc"), SAME: new Secret("bbbb"), OLD: new Secret("dddd") },
      }),
      bed.context(),
    );
    const fields = plan.changes.flatMap((change) => change.fields);
    expect(fields.filter(({ field }) => field.startsWith("secrets"))).toEqual([
      { field: "secrets.NEW" },
      { field: "secrets.OLD" },
    ]);
  });

  test("of the shell that deploys do not reach the service", async () => {
    process.env["SHELL_CREDENTIAL"] = value;
    const up = await bed.provision();
    delete process.env["SHELL_CREDENTIAL"];
    const { environment } = await ask(up.url);
    expect(environment).not.toHaveProperty("SHELL_CREDENTIAL");
    expect(environment).toHaveProperty("PATH");
  });

  test("and all else in the state folder can be read by their owner alone", async () => {
    await bed.provision();
    for (const name of ["", "state.json", "control.sock"]) {
      expect(statSync(join(bed.folder, name)).mode & 0o077).toBe(0);
    }
  });
});
