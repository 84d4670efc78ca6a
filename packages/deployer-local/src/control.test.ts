import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect, type Server } from "node:net";
import { tmpdir } from "node:os";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { askSupervisor } from "./control-client.ts";
import { type ControlRequest, MAX_LINE_BYTES } from "./control-protocol.ts";
import { controlServer } from "./control-server.ts";
import { type Places, placesOf } from "./places.ts";

let stateDirectory: string;
let places: Places;
let server: Server | null = null;

beforeEach(() => {
  stateDirectory = mkdtempSync(`${tmpdir()}/mr-`);
  places = placesOf(stateDirectory, "1");
});

afterEach(() => {
  server?.close();
  server = null;
  rmSync(stateDirectory, { recursive: true, force: true });
});

async function serve(deploymentId: string): Promise<ControlRequest[]> {
  const requests: ControlRequest[] = [];
  mkdirSync(places.folder, { recursive: true });
  server = controlServer(deploymentId, async (request) => {
    requests.push(request);
    throw new Error("out of order");
  });
  server.listen(places.socket);
  await once(server, "listening");
  return requests;
}

async function say(line: string): Promise<unknown> {
  const socket = connect(places.socket);
  socket.end(`${line}\n`);
  return JSON.parse(await text(socket));
}

test("nobody answers where there is no supervisor, or a dead one's socket", async () => {
  expect(await askSupervisor(places, { type: "status" }, undefined)).toBeNull();
});

test("what the supervisor refuses with is thrown", async () => {
  const requests = await serve("1");
  const ask = askSupervisor(places, { type: "stop", remove: true }, undefined);
  await expect(ask).rejects.toMatchObject({ message: "out of order" });
  expect(requests).toEqual([{ type: "stop", remove: true, deploymentId: "1" }]);
});

test("a supervisor does not take what is meant for another", async () => {
  const requests = await serve("2");
  const ask = askSupervisor(places, { type: "stop", remove: true }, undefined);
  await expect(ask).rejects.toMatchObject({ code: "SUPERVISOR_MISMATCH" });
  expect(requests).toEqual([]);
});

test.each([
  "no JSON",
  "{}",
  '{"type":"dance","deploymentId":"1"}',
  '{"type":"status","deploymentId":"1","more":1}',
  '{"type":"update","deploymentId":"1","spec":{},"secrets":{"../evil":"x"}}',
])("%s is refused and does no harm", async (line) => {
  const requests = await serve("1");
  expect(await say(line)).toMatchObject({ ok: false, error: { code: "SUPERVISOR_INCOMPATIBLE" } });
  expect(requests).toEqual([]);
});

test("a line without end is cut off", async () => {
  await serve("1");
  const socket = connect(places.socket);
  socket.on("error", () => {});
  socket.write(Buffer.alloc(MAX_LINE_BYTES + 1, "x"));
  socket.resume();
  await once(socket, "close");
});

test("who asks can be called off", async () => {
  await serve("1");
  const ask = askSupervisor(places, { type: "status" }, AbortSignal.abort(new Error("enough")));
  await expect(ask).rejects.toThrow("enough");
});
