import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

const bin = join(import.meta.dirname, "../bin/millrace.js");
/** Inside the workspace, so that `millrace` and `zod` resolve as they do for a user; ignored by git. */
const workspace = join(import.meta.dirname, "../.millrace");

let folder = "";
let environment: NodeJS.ProcessEnv = {};

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real command in the project's folder. */
function millrace(...args: readonly string[]): Promise<Finished> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [bin, ...args],
      { cwd: folder, env: environment },
      (error, stdout, stderr) =>
        done({ code: error === null ? 0 : (child.exitCode ?? -1), stdout, stderr }),
    );
    child.stdin?.end();
  });
}

/** The JSON that a command prints; its other output shows when the command fails. */
async function json(...args: readonly string[]) {
  const { code, stdout, stderr } = await millrace(...args, "--output", "json");
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return JSON.parse(stdout);
}

async function edit(change: (source: string) => string): Promise<void> {
  const file = join(folder, "pipeline.ts");
  await writeFile(file, change(await readFile(file, "utf8")));
}

beforeAll(async () => {
  await mkdir(workspace, { recursive: true });
  folder = await mkdtemp(join(workspace, "command-"));
  environment = { ...process.env, MILLRACE_HOME: join(folder, "home"), NO_COLOR: "1" };
  delete environment["FORCE_COLOR"];
});

afterAll(async () => {
  await millrace("deployment", "delete", "--all", "--yes");
  await rm(folder, { recursive: true, force: true });
});

test("from an empty folder to a served pipeline", async () => {
  expect((await millrace("init")).code).toBe(0);
  // A line per call, for the test that follows the log.
  await edit((source) =>
    source.replace(
      /\(\{ name \}\) => (`Hello.*`)/,
      '({ name }, { log }) => (log.info("greets"), $1)',
    ),
  );
  const plan = await millrace("plan", "pipeline.ts", "--detailed-exit-code");
  expect(plan.code, plan.stderr).toBe(10);
  expect(plan.stdout).toContain("Deployment hello will be created.");

  const deployed = await millrace("deploy", "pipeline.ts");
  expect(deployed.code, deployed.stderr).toBe(0);
  expect(deployed.stdout).toContain("hello  RUNNING");
  expect(deployed.stdout).toContain("npx millrace invoke hello --name World --times 1");

  const again = await json("deploy", "pipeline.ts");
  expect(again).toMatchObject({ operation: null, plan: { action: "no-op" } });
});

test("a name for its snapshot changes nothing about where its source goes, and another name is refused", async () => {
  expect((await millrace("snapshot", "create", "pipeline.ts", "--name", "v1")).code).toBe(0);
  const again = await json("deploy", "pipeline.ts");
  expect(again).toMatchObject({ operation: null, deployment: { name: "hello" } });
  for (const command of ["plan", "deploy"]) {
    const { code, stderr } = await millrace(command, "pipeline.ts", "--name", "other");
    expect({ code, stderr }).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("SNAPSHOT_DEPLOYED"),
    });
  }
});

test("it is called by command and over HTTP, and wrong parameters are named", async () => {
  expect(
    JSON.parse((await millrace("invoke", "hello", "--name", "Ada", "--times", "2")).stdout),
  ).toEqual({
    greeting: "Hello, Ada!",
    loud: "HELLO, ADA!!!",
  });
  const { deployment } = await json("deployment", "describe", "hello");
  const response = await fetch(`${deployment.url}/invoke`, {
    method: "POST",
    headers: { "content-type": "application/json", connection: "close" },
    body: JSON.stringify({ parameters: { name: "Bob" } }),
  });
  expect(await response.json()).toMatchObject({
    success: true,
    outputs: { greeting: "Hello, Bob!" },
  });

  const wrong = await millrace("invoke", "hello", "--times", "many", "--nam", "x");
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain("times: expected integer 0..10");
  expect(wrong.stderr).toContain('nam: unknown parameter; did you mean "name"?');
  const refused = await millrace("invoke", "hello", "--times", "11");
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("times");
});

test("its runs are recorded, and a batch run is one of them", async () => {
  const batch = await json("run", "pipeline.ts", "--name", "Batch");
  expect(batch).toMatchObject({
    status: "completed",
    deploymentId: null,
    outputs: { greeting: "Hello, Batch!" },
  });
  await expect
    .poll(async () => (await json("run", "list")).items.length, { timeout: 10_000 })
    .toBeGreaterThanOrEqual(3);
  const { items } = await json("run", "list", "--deployment", "hello");
  const shown = await millrace("run", "show", items[0].id);
  expect(shown.stdout).toContain("greet");
  expect((await millrace("run", "lst")).stderr).toContain('Did you mean "run list"?');
});

test("a change needs a yes where nobody can answer; then it is in place and can be taken back", async () => {
  await edit((source) => source.replace("Hello, ", "Hi, "));
  const refused = await millrace("deploy", "pipeline.ts");
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("CONFIRMATION_NEEDED");
  const updated = await json("deploy", "pipeline.ts", "--yes");
  expect(updated.operation).toMatchObject({ outcome: "succeeded" });
  expect((await millrace("invoke", "hello")).stdout).toContain("Hi, World!");

  expect((await millrace("deployment", "rollback", "hello", "--yes")).code).toBe(0);
  expect((await millrace("invoke", "hello")).stdout).toContain("Hello, World!");
  const { items } = await json("deployment", "history", "hello");
  const kinds = items.map((operation: { kind: string }) => operation.kind);
  expect(kinds.filter((kind: string) => kind !== "refresh")).toEqual([
    "rollback",
    "provision",
    "provision",
  ]);
});

test("list, logs, wait and refresh look at it", async () => {
  expect((await millrace("deployment", "list")).stdout).toMatch(/^hello +RUNNING +hello/m);
  expect((await millrace("deployment", "logs", "hello", "--tail", "50")).stdout).toContain(
    "The service is ready.",
  );
  expect((await millrace("deployment", "wait", "hello")).stdout).toBe("hello  RUNNING\n");
  expect((await millrace("deployment", "refresh", "--all")).stdout).toBe("hello  RUNNING\n");
  expect((await json("deployment", "list", "--status", "ERROR")).items).toEqual([]);
});

test("what reads no further leaves no error behind", async () => {
  const child = spawn(process.execPath, [bin, "deployment", "logs", "hello", "--follow"], {
    cwd: folder,
    env: environment,
  });
  let stderr = "";
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  child.stdout.once("data", () => child.stdout.destroy());
  const exit = new Promise((done) => child.once("exit", done));
  const { deployment } = await json("deployment", "describe", "hello");
  let code: unknown = null;
  // A reader that went away is noticed at the next write, so the service has to write.
  while (code === null) {
    await greeting(deployment.url);
    code = await Promise.race([exit, sleep(50, null)]);
  }
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});

test("dev serves, reloads on change, survives a broken source, and ends on Ctrl-C", async () => {
  await rm(join(folder, "pipeline.dev.ts"), { force: true });
  await writeFile(
    join(folder, "pipeline.dev.ts"),
    await readFile(join(folder, "pipeline.ts"), "utf8"),
  );
  const child = spawn(process.execPath, [bin, "dev", "pipeline.dev.ts", "--output", "json"], {
    cwd: folder,
    env: environment,
  });
  const next = eventsOf(child);
  const { url } = await next("serving");
  expect(await greeting(url)).toBe("Hi, World!");
  const source = await readFile(join(folder, "pipeline.dev.ts"), "utf8");
  await writeFile(join(folder, "pipeline.dev.ts"), "const = 1;");
  expect(await next("failed")).toMatchObject({ serving: true });
  expect(await greeting(url)).toBe("Hi, World!");
  await writeFile(join(folder, "pipeline.dev.ts"), source.replace("Hi, ", "Hey, "));
  await next("serving");
  await expect.poll(() => greeting(url)).toBe("Hey, World!");
  const exit = new Promise((done) => child.once("exit", done));
  child.kill("SIGINT");
  expect(await exit).toBe(0);
  await expect(greeting(url)).rejects.toThrow();
});

describe("a batch run", () => {
  /** Runs a pipeline whose step says which process it is in, and then does as it is told. */
  async function begin(deed: string) {
    const source = `import { writeSync } from "node:fs";
import { definePipeline, defineStep } from "millrace";
import { z } from "zod";
const work = defineStep({
  name: "work",
  input: z.object({}),
  output: z.string(),
  run: async () => {
    writeSync(2, "pid " + process.pid + "\\n");
    ${deed}
  },
});
export default definePipeline({ name: "busy", input: z.object({}), build: () => ({ out: work({}) }) });
`;
    await writeFile(join(folder, "busy.ts"), source);
    const child = spawn(process.execPath, [bin, "run", "busy.ts"], {
      cwd: folder,
      env: environment,
    });
    const exit = new Promise((done) => child.once("exit", done));
    const pid = await new Promise<number>((resolve, reject) => {
      let stderr = "";
      child.stderr.on("data", (chunk) => {
        stderr += chunk;
        const found = /pid (\d+)\n/.exec(stderr)?.[1];
        if (found !== undefined) resolve(Number(found));
      });
      void exit.then(() => reject(new Error(stderr)));
    });
    /** One that ended and that nobody has taken note of yet is none. */
    const isRunning = (): boolean =>
      /^[^Z]/.test(
        spawnSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" }).stdout,
      );
    onTestFinished(() => {
      if (isRunning()) process.kill(pid, "SIGKILL");
    });
    return { child, exit, isRunning };
  }

  test("that never gives up its thread is ended by a second Ctrl-C", async () => {
    const { child, exit, isRunning } = await begin("for (;;);");
    child.kill("SIGINT");
    await new Promise<void>((noticed) => {
      child.stderr.on("data", (chunk) => {
        if (String(chunk).includes("Press Ctrl-C again")) noticed();
      });
    });
    child.kill("SIGINT");
    expect(await exit).toBe(130);
    await expect.poll(isRunning, { timeout: 10_000 }).toBe(false);
  });

  test("ends when the command is killed", async () => {
    const { child, exit, isRunning } = await begin("return new Promise(() => {});");
    child.kill("SIGKILL");
    await exit;
    await expect.poll(isRunning, { timeout: 10_000 }).toBe(false);
  });
});

test("deprovision keeps the record, delete removes it, and what is gone is not found", async () => {
  expect((await millrace("deployment", "deprovision", "hello")).stderr).toContain(
    "CONFIRMATION_NEEDED",
  );
  expect((await millrace("deployment", "deprovision", "hello", "--yes")).stdout).toBe(
    "hello  ABSENT\n",
  );
  expect((await json("deployment", "list")).items).toMatchObject([
    { name: "hello", status: "ABSENT" },
  ]);
  expect((await millrace("invoke", "hello")).code).not.toBe(0);
  expect((await millrace("deployment", "delete", "hello", "--yes")).stdout).toBe(
    "hello  deleted\n",
  );
  expect((await json("deployment", "list")).items).toEqual([]);
  const gone = await millrace("deployment", "describe", "hello");
  expect(gone.code).toBe(3);
});

async function greeting(url: string): Promise<string> {
  const response = await fetch(`${url}/invoke`, {
    method: "POST",
    headers: { "content-type": "application/json", connection: "close" },
    body: JSON.stringify({ parameters: {} }),
  });
  const body = JSON.parse(await response.text());
  return body.outputs.greeting;
}

/** Gives the next event of a type that `dev` prints. */
function eventsOf(child: ChildProcess) {
  const events: { type: string; url: string; serving?: boolean }[] = [];
  let notify = (): void => {};
  let stderr = "";
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  if (child.stdout === null) throw new TypeError("no output");
  createInterface({ input: child.stdout }).on("line", (line) => {
    events.push(JSON.parse(line));
    notify();
  });
  return async (type: string) => {
    const deadline = AbortSignal.timeout(20_000);
    for (;;) {
      const index = events.findIndex((event) => event.type === type);
      const found = events.splice(0, index + 1).at(-1);
      if (found !== undefined) return found;
      await new Promise<void>((resolve, reject) => {
        notify = resolve;
        deadline.addEventListener(
          "abort",
          () => reject(new Error(`no event ${type}: ${JSON.stringify(events)} ${stderr}`)),
          { once: true },
        );
      });
    }
  };
}
