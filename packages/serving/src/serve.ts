import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import {
  type JsonValue,
  MillraceError,
  messageOf,
  PUBLISHED_HOST_VARIABLE,
  SERVICE_END_SECONDS,
  type ServiceConfig,
  summarizeError,
} from "@millrace/core";
import type { Run } from "@millrace/engine";
import { startRecorder } from "@millrace/store";
import { Admission } from "./admission.ts";
import { Connections, drain } from "./drain.ts";
import {
  type Environment,
  givenSecrets,
  readEnvironment,
  runStoreOf,
  secretReader,
} from "./environment.ts";
import { checkExposure } from "./exposure.ts";
import { tuneHeap } from "./heap-tuning.ts";
import { makeInvocationAnswers } from "./invocation-answer.ts";
import { type Log, openLog } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { findParent, type Parent } from "./parent.ts";
import { type PipelineHost, startPipeline } from "./pipeline-host.ts";
import { hidePrintedSecrets } from "./printed-secrets.ts";
import { makeRoutes } from "./routes.ts";
import { jsonText, makeRunRecording } from "./run-recording.ts";
import type { Service } from "./service.ts";
import { type LoadedSnapshot, loadSnapshot } from "./snapshot-directory.ts";
import { Stopping } from "./stopping.ts";

/** How long after its deadline a run may still be on its way to the store, in milliseconds. */
const DEADLINE_GRACE_MS = 60_000;
/** How long requests in flight may go on after the process lost its footing, in milliseconds. */
const CRASH_DRAIN_MS = 2000;

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * Serves a snapshot until the process is told to end.
 * @returns The exit code.
 * @throws MillraceError when the service cannot start; the parent has been told.
 */
export async function serve(directory: string, variables: Variables): Promise<number> {
  tuneHeap();
  const parent = findParent();
  try {
    return await serveSnapshot(directory, variables, parent);
  } catch (error) {
    await parent?.send({ type: "failed", error: summarizeError(error, givenSecrets()) });
    throw error;
  }
}

async function serveSnapshot(
  directory: string,
  variables: Variables,
  parent: Parent | undefined,
): Promise<number> {
  const environment = await readEnvironment(variables);
  const { config, secrets } = environment;
  const address = { host: variables["HOST"] || "127.0.0.1", port: portOf(variables["PORT"]) };
  checkExposure(variables[PUBLISHED_HOST_VARIABLE] || address.host, config);
  const log = openLog(1, config.serving.logLevel, secrets.values());
  hidePrintedSecrets([...secrets.values()]);
  const stopping = new Stopping();
  listenToReasons(stopping, config.serving.drainSeconds * 1000, log, parent);
  // A module may wait for ever while it is loaded.
  const snapshot = await Promise.race([
    loadSnapshot(directory, config.snapshot.id),
    stopping.requested.then(() => null),
  ]);
  if (snapshot === null) return (await stopping.requested).exitCode;
  const secret = secretReader(snapshot.manifest.pipeline.secrets, secrets);
  const service = makeService(environment, snapshot, log);
  const { server } = await makeRoutes(service);
  const connections = new Connections(server);
  // Without a parent the port opens at once, so that platforms see the process live while `onInit` runs. A socket that is
  // shared with other workers is joined only when requests can be served.
  if (parent === undefined) await listen(server, address);
  let host: PipelineHost | undefined;
  const crashed = (code: number): void => exitedByPipeline(service, code);
  // Before the listener that flushes the log.
  process.prependListener("exit", crashed);
  try {
    host = await startPipeline({
      config,
      snapshot,
      secret,
      log,
      signal: stopping.signal,
      onLongRun: (run) => service.recording.goesOn(run),
      onEvent: (run, step, event, data) => streamEvent(service, run, step, event, data),
    });
    service.engine = host.engine;
    service.phase = "ready";
    if (parent !== undefined) {
      await Promise.race([joinSocket(server, parent, config), stopping.requested]);
    }
    if (!stopping.signal.aborted) await announce(service, server, parent);
  } catch (error) {
    // Told to end during its start: that is no failure.
    if (!stopping.signal.aborted) {
      process.off("exit", crashed);
      throw error;
    }
  }
  const { why } = await stopping.requested;
  log.with({}).info(`The service shuts down: ${why}.`);
  const exitCode = await stop(service, connections, host, stopping, parent);
  process.off("exit", crashed);
  return exitCode;
}

/** Passes on what a step emits, if the client listens. */
function streamEvent(
  { log, streams }: Service,
  { id }: Run,
  step: string,
  event: string,
  data: JsonValue,
): void {
  const stream = streams.get(id);
  if (stream === undefined) return;
  const text = jsonText({ step, event, data });
  if (text === undefined)
    log.with({ run_id: id, step }).warn("An event was not sent: it is no JSON value.", { event });
  else stream.send("emit", text);
}

/** Code of the pipeline that ends the process is a crash, whatever exit code it chose: whoever watches starts it again. */
function exitedByPipeline({ log, engine }: Service, code: number): void {
  const runs = [...(engine?.active ?? [])].map(({ id }) => id);
  log
    .with({})
    .error("The pipeline's code called process.exit; requests in flight are lost.", { code, runs });
  process.exitCode = code || 1;
}

function makeService(environment: Environment, { pipeline }: LoadedSnapshot, log: Log): Service {
  const { config } = environment;
  const secrets = [...environment.secrets.values()];
  const store = runStoreOf(environment);
  const { tracking } = config.serving;
  const { projectId, id: deploymentId } = config.deployment;
  const longestRunMs = config.serving.requestTimeoutSeconds * 1000 + DEADLINE_GRACE_MS;
  const deployment = { id: deploymentId, longestRunMs };
  const recorder = startRecorder({
    store,
    tracking,
    projectId,
    deployment,
    log: log.line,
    logWritten: log.written,
  });
  return {
    config,
    pipeline,
    log,
    metrics: new Metrics(pipeline.graph.steps.map(({ id }) => id)),
    secrets,
    admission: new Admission(config.serving),
    recorder,
    recording: makeRunRecording(recorder, tracking, {
      projectId,
      pipelineName: pipeline.name,
      snapshotId: config.snapshot.id,
      deploymentId,
      secrets,
    }),
    answers: makeInvocationAnswers({ ...config, pipeline: pipeline.name }),
    streams: new Map(),
    checks: new Set(),
    phase: "starting",
    engine: undefined,
    invocations: 0,
  };
}

function listenToReasons(
  stopping: Stopping,
  drainMs: number,
  log: Log,
  parent: Parent | undefined,
): void {
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    signals++;
    stopping.request({
      why: signal,
      exitCode: 0,
      // The second signal means: now.
      deadlineMs: signals > 1 ? 0 : drainMs,
      // A platform that sends SIGTERM may have a successor; a person who presses Ctrl-C has none.
      successor: signal === "SIGTERM" && signals === 1,
    });
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  parent?.onDrain(({ seconds, successor }) =>
    stopping.request({
      why: "the parent asks for it",
      exitCode: 0,
      deadlineMs: seconds === undefined ? drainMs : seconds * 1000,
      successor: successor ?? true,
    }),
  );
  parent?.onGone(() =>
    stopping.request({
      why: "the parent is gone",
      exitCode: 0,
      deadlineMs: drainMs,
      successor: false,
    }),
  );
  // A promise that nobody awaits belongs to one run; the others need not suffer from it.
  process.on("unhandledRejection", (error) =>
    log.with({}).error("A promise was rejected and nobody handled it.", { error }),
  );
  process.on("uncaughtException", (error) => {
    log.with({}).error("An exception was thrown outside of any step; the process ends.", { error });
    stopping.request({
      why: "an uncaught exception",
      exitCode: 1,
      deadlineMs: Math.min(CRASH_DRAIN_MS, drainMs),
      successor: false,
    });
  });
}

/** Port from the environment; 0 means any. @throws MillraceError `PORT_INVALID` */
function portOf(text: string | undefined): number {
  const port = text === undefined || text === "" ? 0 : Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new MillraceError({
    class: "usage",
    code: "PORT_INVALID",
    message: `PORT is ${JSON.stringify(text)}, which is no port.`,
    action: "Set it to a whole number from 0 to 65535.",
  });
}

/** @throws MillraceError `LISTEN_FAILED` */
function listen(
  server: Server,
  where: { readonly host: string; readonly port: number } | object,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(
        new MillraceError({
          class: cause.code === "EADDRINUSE" ? "conflict" : "platform",
          code: cause.code === "EADDRINUSE" ? "PORT_IN_USE" : "LISTEN_FAILED",
          message: `The service cannot listen: ${messageOf(cause)}.`,
          action: "Choose another PORT or HOST.",
          cause,
        }),
      ),
    );
    server.listen(where, resolve);
  });
}

async function joinSocket(server: Server, parent: Parent, config: ServiceConfig): Promise<void> {
  await listen(server, await parent.socket);
  checkExposure(addressOf(server).address, config);
  parent.onConnection((socket) => server.emit("connection", socket));
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === "string")
    throw new TypeError("the server has no IP address");
  return address;
}

async function announce(
  service: Service,
  server: Server,
  parent: Parent | undefined,
): Promise<void> {
  const { address, family, port } = addressOf(server);
  const url = `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  const { deployment, snapshot, revision } = service.config;
  service.log.with({}).info("The service is ready.", {
    url,
    deployment: deployment.name,
    snapshot_id: snapshot.id,
    revision,
  });
  await parent?.send({ type: "ready", url });
}

async function stop(
  service: Service,
  connections: Connections,
  host: PipelineHost | undefined,
  stopping: Stopping,
  parent: Parent | undefined,
): Promise<number> {
  const request = await stopping.requested;
  await drain(service, connections, () => stopping.current ?? request);
  await host?.stop();
  await service.recorder.close(SERVICE_END_SECONDS.records * 1000);
  service.log.flush();
  const { exitCode } = stopping.current ?? request;
  // A process that lost its footing does not end in good order, whatever it could still answer.
  if (exitCode === 0) await parent?.send({ type: "drained" });
  return exitCode;
}
