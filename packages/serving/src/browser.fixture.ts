import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { z } from "zod";

/** For tests: a Chromium of this machine; undefined when there is none. */
export const chromium: string | undefined = ["chromium", "chromium-browser", "google-chrome"]
  .flatMap((name) => (process.env["PATH"] ?? "").split(delimiter).map((part) => join(part, name)))
  .find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** A page in a browser of its own. */
export interface Page {
  open(url: string): Promise<void>;
  /** Evaluates an expression in the page; promises are awaited. */
  evaluate(expression: string): Promise<unknown>;
  /** What the browser complained about: exceptions, and what the page's policy forbids. */
  readonly complaints: readonly string[];
  close(): Promise<void>;
}

const messageSchema = z.object({
  id: z.number().optional(),
  method: z.string().optional(),
  params: z.unknown().optional(),
  result: z.unknown().optional(),
});
const evaluatedSchema = z.object({
  result: z.object({ value: z.unknown().optional() }),
  exceptionDetails: z.unknown().optional(),
});
const entrySchema = z.object({ entry: z.object({ source: z.string(), text: z.string() }) });
const targetsSchema = z.array(z.object({ type: z.string(), webSocketDebuggerUrl: z.string() }));

/** Starts a browser without a window and speaks its DevTools protocol. */
export async function openPage(executable: string): Promise<Page> {
  const profile = await mkdtemp(join(tmpdir(), "millrace-browser-"));
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"];
  const browser = spawn(executable, [...flags, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = new Promise((resolve) => browser.once("exit", resolve));
  const address = await new Promise<string>((resolve, reject) => {
    let told = "";
    browser.stderr.on("data", (text) => {
      told += text;
      const found = /DevTools listening on ws:\/\/([^/]+)/.exec(told)?.[1];
      if (found !== undefined) resolve(found);
    });
    browser.once("exit", () => reject(new Error(`the browser ended: ${told}`)));
  });
  const targets = targetsSchema.parse(await (await fetch(`http://${address}/json/list`)).json());
  const target = targets.find(({ type }) => type === "page");
  const socket = new WebSocket(target?.webSocketDebuggerUrl ?? "");
  await new Promise((resolve) => socket.addEventListener("open", resolve));

  const complaints: string[] = [];
  const waiting = new Map<number, (result: unknown) => void>();
  socket.addEventListener("message", ({ data }) => {
    const message = messageSchema.parse(JSON.parse(String(data)));
    if (message.id !== undefined) waiting.get(message.id)?.(message.result);
    if (message.method === "Runtime.exceptionThrown") complaints.push(JSON.stringify(message));
    const { data: log } = entrySchema.safeParse(message.params);
    if (message.method === "Log.entryAdded" && log?.entry.source !== "network")
      complaints.push(log?.entry.text ?? "");
  });
  let id = 0;
  const send = (method: string, params: object = {}): Promise<unknown> =>
    new Promise((resolve) => {
      id++;
      waiting.set(id, resolve);
      socket.send(JSON.stringify({ id, method, params }));
    });
  await Promise.all(["Page.enable", "Runtime.enable", "Log.enable"].map((each) => send(each)));
  return {
    complaints,
    async open(url) {
      await send("Page.navigate", { url });
    },
    async evaluate(expression) {
      const parameters = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = evaluatedSchema.parse(
        await send("Runtime.evaluate", parameters),
      );
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
      return result.value;
    },
    async close() {
      socket.close();
      browser.kill();
      await exited;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
