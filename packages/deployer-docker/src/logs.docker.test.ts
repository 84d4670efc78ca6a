import { createHash } from "node:crypto";
import type { LogLine, LogQuery } from "@millrace/core";
import { expect, onTestFinished, test } from "vitest";
import { Deployment, engineUrl, readContext, socket, until } from "./engine.fixture.ts";
import { EngineAccess } from "./engine.ts";
import { EngineProxy } from "./engine-proxy.fixture.ts";
import { logsOf } from "./logs.ts";

const access = new EngineAccess(engineUrl);

function deployment(): Deployment {
  const made = new Deployment();
  onTestFinished(() => made.remove());
  return made;
}

function read({ target }: Deployment, query: LogQuery = {}): Promise<LogLine[]> {
  return Array.fromAsync(logsOf(access, target, query, readContext()));
}

async function texts(of: Deployment, query: LogQuery = {}): Promise<string[]> {
  return (await read(of, query)).map(({ text }) => brief(text));
}

/** A long line by what tells it from others. */
function brief(text: string): string {
  if (text.length < 60) return text;
  return `${text.slice(0, 10)}… ${text.length} ${createHash("sha256").update(text).digest("hex").slice(0, 8)}`;
}

interface Follower {
  readonly lines: LogLine[];
  readonly ended: Promise<void>;
  stop(): void;
}

function follow({ target }: Deployment, query: LogQuery = {}, by = access): Follower {
  const abort = new AbortController();
  const lines: LogLine[] = [];
  const reading = async (): Promise<void> => {
    const context = readContext(abort.signal);
    for await (const line of logsOf(by, target, { ...query, follow: true }, context))
      lines.push(line);
  };
  const ended = reading();
  onTestFinished(() => abort.abort());
  return { lines, ended, stop: () => abort.abort(new Error("enough")) };
}

/** Writes numbered lines to both streams by turns, some longer than what the engine keeps in one piece, and stays. */
const LINES = `
  for (let i = 0; i < 60; i++)
    (i % 2 ? process.stderr : process.stdout).write("line " + i + " " + (i % 7 ? "grüße" : "x".repeat(40000)) + "\\n");
  setInterval(() => {}, 1000);`;
const LINE_NUMBERS = Array.from({ length: 60 }, (_, index) => index);

function numbersIn(lines: readonly LogLine[]): number[] {
  return lines.map(({ text }) => Number(/^line (\d+) /.exec(text)?.[1])).sort((a, b) => a - b);
}

test("every line comes whole, once, in the order of its stream, with time and container", async () => {
  const made = deployment();
  const before = Date.now();
  const container = await made.run(LINES);
  await until("all is written", async () => (await read(made)).length === 60);
  const lines = await read(made);
  expect(numbersIn(lines)).toEqual(LINE_NUMBERS);
  for (const stream of ["stdout", "stderr"] as const) {
    const own = lines.filter((line) => line.stream === stream);
    expect(own.map(({ text }) => brief(text))).toEqual(
      LINE_NUMBERS.filter((index) => index % 2 === (stream === "stderr" ? 1 : 0)).map((index) =>
        brief(`line ${index} ${index % 7 ? "grüße" : "x".repeat(40_000)}`),
      ),
    );
  }
  for (const { time, replica } of lines) {
    expect(time?.getTime()).toBeGreaterThanOrEqual(before);
    expect(replica).toBe(container.id.slice(0, 12));
  }
});

test.each([0, 1, 2, 5, 31, 59, 60, 1000])("tail %i gives the last whole lines", async (tail) => {
  const made = deployment();
  await made.run(LINES);
  await until("all is written", async () => (await read(made)).length === 60);
  const all = await texts(made);
  expect(await texts(made, { tail })).toEqual(tail === 0 ? [] : all.slice(-tail));
});

test("since gives the lines from that time on, and tail the last of them", async () => {
  const made = deployment();
  await made.run(
    `let i = 0; const say = () => { console.log("line " + i++); if (i < 6) setTimeout(say, 20); else setInterval(() => {}, 1000) }; say();`,
  );
  await until("all is written", async () => (await read(made)).length === 6);
  const lines = await read(made);
  const since = lines[3]?.time ?? undefined;
  if (since === undefined) throw new Error("no time");
  expect(await texts(made, { since })).toEqual(["line 3", "line 4", "line 5"]);
  expect(await texts(made, { since, tail: 2 })).toEqual(["line 4", "line 5"]);
  expect(await texts(made, { since: new Date(Date.now() + 60_000) })).toEqual([]);
});

test("containers of one deployment are read together, in order of time", async () => {
  const made = deployment();
  const say = (who: string) =>
    `let i = 0; setInterval(() => { if (i < 15) console.log("${who} " + i++) }, 11);`;
  await Promise.all([made.run(say("a")), made.run(say("b"))]);
  await until("all is written", async () => (await read(made)).length === 30);
  const lines = await read(made);
  const times = lines.map(({ time }) => time?.getTime() ?? 0);
  expect(times).toEqual([...times].sort((a, b) => a - b));
  expect(new Set(lines.map(({ replica }) => replica)).size).toBe(2);
  expect(await texts(made, { tail: 7 })).toEqual(lines.slice(-7).map(({ text }) => text));
});

test.each([
  ["everything", {}, 40],
  ["what comes after the last ones", { tail: 3 }, null],
])("follow gives %s, each line once, over restarts", async (_what, query, count) => {
  const made = deployment();
  const container = await made.run(
    `for (let i = 0; i < 10; i++) console.log("line " + i + " of " + Date.now()); setTimeout(() => process.exit(1), 150)`,
    { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 } },
  );
  await until("it has begun", async () => (await read(made)).length >= 10);
  const follower = follow(made, query);
  await until("it has given up", async () => {
    const { State, RestartCount } = await container.inspect();
    return RestartCount === 3 && State.Status === "exited";
  });
  const all = await texts(made);
  expect(all.length).toBe(40);
  await until("the last line is followed", () => follower.lines.at(-1)?.text === all.at(-1));
  const got = follower.lines.map(({ text }) => text);
  expect(got).toEqual(all.slice(-(count ?? got.length)));
  expect(got.length).toBeGreaterThan(3);
  follower.stop();
  await follower.ended;
});

test("follow goes on with the container that takes another's place, and ends when none is left", async () => {
  const made = deployment();
  const old = await made.run(`console.log("old"); setInterval(() => {}, 1000)`);
  const follower = follow(made);
  const seen = () => follower.lines.map(({ text }) => text);
  await until("the old one is followed", () => seen().includes("old"));
  await made.run(`console.log("new"); setInterval(() => {}, 1000)`);
  await until("the new one is followed", () => seen().includes("new"));
  await old.remove({ force: true });
  await made.remove();
  await follower.ended;
  expect(seen()).toEqual(["old", "new"]);
});

test("follow goes on, each line once, when the engine is away for a while", async () => {
  const made = deployment();
  await made.run(`let i = 0; setInterval(() => console.log("line " + i++), 20)`);
  const proxy = await EngineProxy.open(socket);
  onTestFinished(() => proxy.close());
  const follower = follow(made, {}, new EngineAccess(`unix://${proxy.socket}`));
  await until("it is followed", () => follower.lines.length > 5);
  proxy.mode = "cut off";
  await until("more is written meanwhile", async () => {
    return (await read(made)).length > follower.lines.length + 20;
  });
  proxy.restore();
  const before = follower.lines.length;
  await until("it is followed again", () => follower.lines.length > before + 30);
  follower.stop();
  await follower.ended;
  expect(follower.lines.map(({ text }) => text)).toEqual(
    follower.lines.map((_, index) => `line ${index}`),
  );
});

test("follow with tail 0 gives new lines only", async () => {
  const made = deployment();
  const container = await made.run(
    `console.log("old"); setInterval(() => { try { require("fs").accessSync("/tmp/go"); console.log("new"); process.exit(0) } catch {} }, 20)`,
  );
  await until("the old line is there", async () => (await texts(made)).includes("old"));
  const follower = follow(made, { tail: 0 });
  const exec = await container.exec({
    Cmd: ["node", "-e", 'require("fs").writeFileSync("/tmp/go", "")'],
  });
  await exec.start({});
  await until("the new line is followed", () => follower.lines.length > 0);
  follower.stop();
  await follower.ended;
  expect(follower.lines.map(({ text }) => text)).toEqual(["new"]);
});

test("whoever stops reading early leaves no connection open", async () => {
  const made = deployment();
  await made.run(LINES);
  await until("it has begun", async () => (await read(made)).length > 10);
  const pipes = () => process.getActiveResourcesInfo().filter((name) => name === "PipeWrap").length;
  const before = pipes();
  for await (const line of logsOf(access, made.target, { follow: true }, readContext())) {
    expect(line.text).toContain("line ");
    break;
  }
  await until("its connections are closed", () => pipes() <= before);
});

test("a deployment without containers has no lines, also when they are followed", async () => {
  const made = deployment();
  expect(await read(made)).toEqual([]);
  const follower = follow(made);
  await follower.ended;
  expect(follower.lines).toEqual([]);
});

test("an abort ends a read with its reason, and a follow without an error", async () => {
  const made = deployment();
  await made.run(`console.log("one"); setInterval(() => {}, 1000)`);
  const follower = follow(made);
  await until("it is followed", () => follower.lines.length === 1);
  follower.stop();
  await follower.ended;
  const reason = new Error("mine");
  const aborted = readContext(AbortSignal.abort(reason));
  await expect(Array.fromAsync(logsOf(access, made.target, {}, aborted))).rejects.toBe(reason);
});

test("a log that the engine cannot read back is told", async () => {
  const made = deployment();
  await made.run(`console.log("one"); setInterval(() => {}, 1000)`, {
    LogConfig: { Type: "none", Config: {} },
  });
  await expect(read(made)).rejects.toMatchObject({ class: "usage", code: "LOGS_UNREADABLE" });
});
