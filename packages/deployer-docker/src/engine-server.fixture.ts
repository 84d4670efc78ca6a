import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { ReadContext } from "@millrace/core";
import { onTestFinished } from "vitest";
import { EngineAccess } from "./engine.ts";

type Answer = (asked: IncomingMessage, answer: ServerResponse) => void | Promise<void>;

/** An engine that answers as a test says, by `METHOD /path`; what it is not told it does not know. */
export async function engineThatAnswers(answers: Readonly<Record<string, Answer | object>>) {
  const server = createServer(async (asked, answer) => {
    const path = asked.url?.replace(/\?.*/, "");
    const told = { ...VERSION, ...answers }[`${asked.method} ${path}`];
    if (typeof told === "function") return told(asked, answer);
    answer.writeHead(told === undefined ? 404 : 200, { "content-type": "application/json" });
    return void answer.end(JSON.stringify(told ?? { message: `no such thing: ${path}` }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const access = new EngineAccess(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return { access, engine: await access.open(CONTEXT) };
}

const VERSION: Readonly<Record<string, object>> = {
  "GET /version": { ApiVersion: "1.48", Version: "28.0.0", Os: "linux", Arch: "amd64" },
};

export const CONTEXT: ReadContext = {
  signal: new AbortController().signal,
  clock: {
    now: Date.now,
    sleep: (milliseconds, signal) => sleep(milliseconds, undefined, { signal }),
  },
  progress: () => undefined,
};
