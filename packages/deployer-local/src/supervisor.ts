import { chmodSync, existsSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import type { Server } from "node:net";
import { dirname } from "node:path";
import { MillraceError, messageOf } from "@millrace/core";
import { askSupervisor } from "./control-client.ts";
import type { ControlRequest, State, Status } from "./control-protocol.ts";
import { controlServer } from "./control-server.ts";
import { inheritedSocket } from "./listening-socket.ts";
import { withLock } from "./lock.ts";
import { LogWriter } from "./log-writer.ts";
import { makePrivateFolder, type Places, placesOf } from "./places.ts";
import { removePresence, writePresence } from "./presence.ts";
import { startTimeOf } from "./process-identity.ts";
import { removeAllSecretFiles } from "./secret-files.ts";
import { writeState } from "./state-file.ts";
import { Supervision } from "./supervision.ts";

/** Whoever started the supervisor hands over a revision at once; if it died before that, nobody needs the process. */
const IDLE_MS = 10_000;
/** How often the supervisor sees whether it can still be found. */
const PRESENCE_INTERVAL_MS = 500;
const DEFAULT_LOG_LIMITS = { maxBytes: 10_485_760, files: 5 };

/**
 * The process that owns one deployment. It inherits the listening socket as descriptor 3. It is found by its control socket, and that it is the only one is decided
 * there: the socket is taken under the lock, and only from a supervisor that is gone.
 */
class Supervisor {
  readonly #places: Places;
  readonly #log: LogWriter;
  readonly #supervision: Supervision;
  readonly #listening = inheritedSocket();
  #server: Server | null = null;
  #socketInode: bigint | null = null;
  #retaking = false;
  /** Why the place could not be taken anew. Said once, not at each beat. */
  #hindrance: string | null = null;
  #removeWhenStopped = false;
  #ended: Promise<void> | null = null;

  constructor({ stateDirectory, deploymentId, host, port, wantedPort }: Arguments) {
    this.#places = placesOf(stateDirectory, deploymentId);
    this.#log = new LogWriter(this.#places.logs, DEFAULT_LOG_LIMITS);
    this.#supervision = new Supervision({
      places: this.#places,
      host,
      port,
      wantedPort,
      socket: this.#listening.handle,
      log: this.#log,
      onChange: (state) => this.#store(state),
    });
  }

  async run(): Promise<void> {
    if (!(await this.#takePlace())) process.exit(0);
    process.on("uncaughtException", (error) => {
      this.#say(`the supervisor failed: ${error.stack ?? messageOf(error)}`);
      process.exit(1);
    });
    removeAllSecretFiles(this.#places);
    setTimeout(() => this.#endIfIdle(), IDLE_MS).unref();
    setInterval(() => void this.#stayFound(), PRESENCE_INTERVAL_MS);
    process.once("SIGTERM", () => void this.#end());
    process.once("SIGINT", () => void this.#end());
    process.on("SIGHUP", () => {});
  }

  /** Becomes the deployment's supervisor; false when there is one. */
  #takePlace(): Promise<boolean> {
    return withLock(this.#places.lock, undefined, async () => {
      const other = await askSupervisor(this.#places, { type: "status" }, undefined);
      if (other !== null) return false;
      // Closing a server deletes its path, so it must be done before the path is taken anew.
      this.#server?.close();
      makePrivateFolder(this.#places.folder);
      makePrivateFolder(dirname(this.#places.socket));
      rmSync(this.#places.socket, { force: true });
      writePresence(this.#places.presence, {
        pid: process.pid,
        startTime: startTimeOf(process.pid),
      });
      // Last, because it cannot fail half-way: whoever finds somebody answering there takes the place for taken.
      const server = controlServer(this.#places.deploymentId, (request) => this.#handle(request));
      await listen(server, this.#places.socket);
      chmodSync(this.#places.socket, 0o600);
      this.#server = server;
      this.#socketInode = inodeOf(this.#places.socket);
      return true;
    });
  }

  async #handle(request: ControlRequest): Promise<Status> {
    switch (request.type) {
      case "status":
        break;
      case "update":
        if (this.#ended !== null) throw stopping(this.#places);
        this.#supervision.update(request.spec, request.secrets);
        break;
      case "stop":
        this.#removeWhenStopped ||= request.remove;
        void this.#end();
        break;
    }
    return this.#supervision.status();
  }

  #endIfIdle(): void {
    if (this.#supervision.state().rollout !== null) return;
    // Where nothing was before, nothing shall stay.
    this.#removeWhenStopped ||= !existsSync(this.#places.stateFile);
    void this.#end();
  }

  /** Drains, gives its place up, and ends the process. */
  #end(): Promise<void> {
    this.#ended ??= this.#drainAndExit();
    return this.#ended;
  }

  async #drainAndExit(): Promise<void> {
    this.#listening.close();
    await this.#supervision.stop();
    await withLock(this.#places.lock, undefined, async () => {
      // Replaced: the files are another supervisor's, and an orderly exit would delete its socket.
      if (!this.#isFound()) process.kill(process.pid, "SIGKILL");
      removeAllSecretFiles(this.#places);
      rmSync(this.#places.socket, { force: true });
      removePresence(this.#places.presence);
      if (this.#removeWhenStopped) rmSync(this.#places.folder, { recursive: true, force: true });
      // At once and with the lock held, so that nothing can be written after it was removed.
      process.exit(0);
    });
  }

  /** A supervisor whose socket was deleted could never be asked again, so it makes a new one, unless it was replaced. */
  async #stayFound(): Promise<void> {
    if (this.#ended !== null || this.#retaking) return;
    this.#retaking = true;
    try {
      if (!this.#isFound()) {
        if (await this.#takePlace()) this.#store(this.#supervision.state());
        else void this.#end();
      }
      this.#hindrance = null;
    } catch (error) {
      // The service needs none of it and goes on; the next beat tries again.
      const hindrance = messageOf(error);
      if (hindrance !== this.#hindrance)
        this.#say(
          `the supervisor cannot be asked, and goes on trying to change that: ${hindrance}`,
        );
      this.#hindrance = hindrance;
    } finally {
      this.#retaking = false;
    }
  }

  #isFound(): boolean {
    return inodeOf(this.#places.socket) === this.#socketInode;
  }

  #store(state: State): void {
    try {
      mkdirSync(this.#places.folder, { recursive: true, mode: 0o700 });
      writeState(this.#places.stateFile, state);
    } catch (error) {
      // What matters is in memory and can be asked for; the file only serves those who come after us.
      this.#say(`the state file cannot be written: ${messageOf(error)}`);
    }
  }

  #say(text: string): void {
    this.#log.write([{ time: new Date(), replica: "supervisor", stream: "stderr", text }]);
  }
}

interface Arguments {
  readonly stateDirectory: string;
  readonly deploymentId: string;
  readonly host: string;
  readonly port: number;
  readonly wantedPort: number | null;
}

function parseArguments(words: readonly string[]): Arguments {
  const [stateDirectory, deploymentId, host, port, wantedPort] = words;
  if (!stateDirectory || !deploymentId || !host || !port) {
    throw new Error("usage: supervisor.js STATE_DIRECTORY DEPLOYMENT_ID HOST PORT [WANTED_PORT]");
  }
  return {
    stateDirectory,
    deploymentId,
    host,
    port: Number(port),
    wantedPort: wantedPort === undefined ? null : Number(wantedPort),
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path, readableAll: false, writableAll: false }, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
}

function inodeOf(path: string): bigint | null {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino ?? null;
}

function stopping(places: Places): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "SUPERVISOR_STOPPING",
    message: `The supervisor of deployment ${places.deploymentId} is stopping.`,
    action: "Wait until it is gone and try again.",
    retryable: true,
  });
}

await new Supervisor(parseArguments(process.argv.slice(2))).run();
