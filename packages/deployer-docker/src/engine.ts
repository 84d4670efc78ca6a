import { Readable } from "node:stream";
import type { ReadContext } from "@millrace/core";
import type Docker from "dockerode";
import type {
  Container,
  ContainerCreateOptions,
  ContainerInfo,
  ContainerInspectInfo,
} from "dockerode";
import { type ArchiveFile, packFiles, unpackFiles } from "./archive.ts";
import { connectEngine, type EngineConnection, mustBeNewEnough } from "./connection.ts";
import { engineError, isMissing } from "./engine-errors.ts";

/** The way to one engine, which is looked for and asked for its version at the first call. */
export class EngineAccess {
  readonly #url: string | undefined;
  #connection: EngineConnection | null = null;

  /** @param url Default: where Docker's own command would look. */
  constructor(url: string | undefined) {
    this.#url = url;
  }

  /** An engine whose calls obey the context's signal. */
  async open(context: Pick<ReadContext, "signal">): Promise<Engine> {
    if (this.#connection !== null) return new Engine(this.#connection, context);
    const connection = await connectEngine(this.#url);
    const engine = new Engine(connection, context);
    mustBeNewEnough(await engine.ask("tell its version", () => connection.docker.version()));
    this.#connection = connection;
    return engine;
  }
}

/** The engine's calls that the deployer makes, each bounded by the caller's signal, with errors that say what to do. */
export class Engine {
  readonly docker: Docker;
  /** The machine that it is on; null for this one. */
  readonly host: string | null;
  readonly #signal: AbortSignal;

  constructor({ docker, host }: EngineConnection, { signal }: Pick<ReadContext, "signal">) {
    this.docker = docker;
    this.host = host;
    this.#signal = signal;
  }

  /** Makes a call; `what` says it in an error: "start the container x". */
  async ask<T>(
    what: string,
    call: (options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    const signal = this.#signal;
    signal.throwIfAborted();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([call({ abortSignal: signal }), aborted]);
    } catch (thrown) {
      signal.throwIfAborted();
      throw engineError(thrown, what);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** The same; null where the engine does not know what is asked for. */
  find<T>(
    what: string,
    call: (options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T | null> {
    return this.ask(what, (options) =>
      call(options).catch((thrown: unknown) => {
        if (isMissing(thrown)) return null;
        throw thrown;
      }),
    );
  }

  #container(name: string): Container {
    return this.docker.getContainer(name);
  }

  inspectContainer(name: string): Promise<ContainerInspectInfo | null> {
    return this.find(`look at the container ${name}`, (options) =>
      this.#container(name).inspect(options),
    );
  }

  async createContainer(
    options: ContainerCreateOptions & { readonly name: string },
  ): Promise<string> {
    const { id } = await this.ask(`create the container ${options.name}`, ({ abortSignal }) =>
      this.docker.createContainer({ ...options, abortSignal }),
    );
    return id;
  }

  /** Starts a container. One that runs is fine. */
  startContainer(name: string): Promise<unknown> {
    return this.ask(`start the container ${name}`, (options) =>
      this.#container(name).start(options).catch(unlessDone),
    );
  }

  resumeContainer(name: string): Promise<unknown> {
    return this.ask(`resume the container ${name}`, (options) =>
      this.#container(name).unpause(options),
    );
  }

  /** Ends a container's process: SIGTERM, and SIGKILL after so many seconds. One that is gone or has ended is fine. */
  stopContainer(name: string, seconds: number): Promise<unknown> {
    return this.find(`stop the container ${name}`, (options) =>
      this.#container(name)
        .stop({ ...options, t: Math.ceil(seconds) })
        .catch(unlessDone),
    );
  }

  signalContainer(name: string, signal: string): Promise<unknown> {
    return this.ask(`send ${signal} to the container ${name}`, (options) =>
      this.#container(name).kill({ ...options, signal }),
    );
  }

  /** Removes a container with what was made for it alone. One that is gone is fine, and so is one that is being removed. */
  removeContainer(name: string): Promise<unknown> {
    return this.find(`remove the container ${name}`, (options) =>
      this.#container(name)
        .remove({ ...options, force: true, v: true })
        .catch((thrown: { statusCode?: number; message?: string }) => {
          const underWay = thrown.statusCode === 409 && /in progress/.test(thrown.message ?? "");
          if (!underWay) throw thrown;
        }),
    );
  }

  renameContainer(name: string, to: string): Promise<unknown> {
    return this.ask(`rename the container ${name}`, (options) =>
      this.#container(name).rename({ ...options, name: to }),
    );
  }

  setRestartPolicy(name: string, policy: string): Promise<unknown> {
    return this.ask(`update the container ${name}`, (options) =>
      this.#container(name).update({ ...options, RestartPolicy: { Name: policy } }),
    );
  }

  async putFiles(name: string, folder: string, files: readonly ArchiveFile[]): Promise<void> {
    const archive = await packFiles(files);
    await this.ask(`write files into the container ${name}`, (options) =>
      this.#container(name).putArchive(archive, { ...options, path: folder }),
    );
  }

  /** Files of a folder in a container, by name; null when there is no such folder or container. */
  async getFiles(name: string, folder: string): Promise<ReadonlyMap<string, string> | null> {
    return this.find(`read files of the container ${name}`, async (options) =>
      unpackFiles(await this.#container(name).getArchive({ ...options, path: folder })),
    );
  }

  /** A folder of a container as a tar; nothing where there is no such folder or container. */
  async *readFolder(name: string, folder: string): AsyncGenerator<Uint8Array> {
    const what = `read the folder ${folder} of the container ${name}`;
    const path = `/containers/${encodeURIComponent(name)}/archive?`;
    const stream = await this.find(what, () => this.#stream(path, { path: folder }));
    if (stream !== null) yield* this.#readStream(stream, what);
  }

  /** Containers with a label `name=value`, in whatever state. */
  listContainers(label: string): Promise<readonly ContainerInfo[]> {
    return this.ask("list containers", (options) =>
      this.docker.listContainers({ ...options, all: true, filters: { label: [label] } }),
    );
  }

  /** A container's log as the engine sends it, each entry with its time. Nothing where there is no such container. */
  async *readLog(name: string, query: ContainerLogQuery): AsyncGenerator<string | Uint8Array> {
    const what = `read the log of the container ${name}`;
    const stream = await this.find(what, () =>
      // dockerode would keep all of a log that is not followed in memory.
      this.#stream(`/containers/${encodeURIComponent(name)}/logs?`, {
        stdout: true,
        stderr: true,
        timestamps: true,
        ...query,
      }),
    );
    if (stream !== null) yield* this.#readStream(stream, what);
  }

  /** An image with its layers, in the form of `docker save`. */
  async *saveImage(reference: string): AsyncGenerator<Uint8Array> {
    const what = `read the image ${reference}`;
    const stream = await this.ask(what, () => this.#stream(`/images/${reference}/get?`, {}));
    yield* this.#readStream(stream, what);
  }

  #stream(path: string, options: object): Promise<Readable> {
    const { promise, resolve, reject } = Promise.withResolvers<Readable>();
    this.docker.modem.dial(
      {
        path,
        method: "GET",
        options,
        isStream: true,
        statusCodes: { 200: true },
        abortSignal: this.#signal,
      },
      (error, answer) => (answer instanceof Readable ? resolve(answer) : reject(error)),
    );
    return promise;
  }

  async *#readStream(stream: Readable, what: string): AsyncGenerator<Uint8Array> {
    try {
      yield* stream;
    } catch (thrown) {
      this.#signal.throwIfAborted();
      throw engineError(thrown, what);
    }
  }
}

/** 304: it was so already. */
function unlessDone(thrown: { readonly statusCode?: number }): void {
  if (thrown.statusCode !== 304) throw thrown;
}

export interface ContainerLogQuery {
  readonly follow: boolean;
  /** Seconds since the epoch. */
  readonly since?: string;
  /** Only the last so many entries. */
  readonly tail?: number;
}
