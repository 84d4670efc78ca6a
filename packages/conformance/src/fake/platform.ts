import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { buffer, json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { PullFailed, pullImage } from "./image-pull.ts";
import { ImageStore } from "./image-store.ts";
import {
  type LogEntry,
  newestRollout,
  type Rollout,
  type SecretRecord,
  type ServiceRecord,
  type ServiceView,
  type Spec,
  type Strategy,
  servingRollout,
  specSchema,
  type Tags,
  viewSecret,
  viewService,
} from "./records.ts";
import type { FakeRegistry } from "./registry.ts";
import { answerHealth, answerInvoke, partOf } from "./service-play.ts";
import { Versions } from "./versions.ts";

const LAG_MS = 8;
const LONG_LAG_MS = 150;
const REMOVAL_MS = 25;
const LOG_PAGE = 40;
/** Names of resources: lower-case letters, digits and `-`, beginning with a letter. */
const NAME = /^[a-z][a-z0-9-]{0,39}$/;
const MAX_TAG_LENGTH = 256;

export const THROTTLE_RETRY_SECONDS = 0.05;

/** How the platform fails the calls that it gets. `lostReply` holds for one change. */
export type Trouble =
  | "cutOff"
  | "down"
  | "hang"
  | "throttle"
  | "expiredCredentials"
  | "refuse"
  | "full"
  | "lostReply"
  | "lag";

const shortTagsSchema = z.record(z.string(), z.string().max(MAX_TAG_LENGTH));
/** For the registry that has the image. It is not kept. */
const loginSchema = z.strictObject({ username: z.string(), password: z.string() }).nullable();
const createSchema = z.strictObject({
  name: z.string(),
  tags: shortTagsSchema,
  spec: specSchema,
  login: loginSchema,
});
const updateSchema = z.strictObject({
  tags: shortTagsSchema,
  spec: specSchema,
  login: loginSchema,
  strategy: z.enum(["rolling", "recreate"]),
});
const secretSchema = z.strictObject({
  tags: shortTagsSchema,
  values: z.record(z.string(), z.string()),
});

/** A change that runs an image. */
const runsImageSchema = z.object({ spec: z.object({ image: z.string() }), login: loginSchema });

interface Reply {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * A small cloud in memory, behind a real HTTP interface on loopback, so that it outlives the processes of those who use
 * it. Nothing is done on the first reply, and reads lag behind writes. It plays the services that it is told to run.
 */
export class FakePlatform {
  readonly #server: Server;
  readonly #services = new Versions<ServiceRecord>();
  readonly #secrets = new Versions<SecretRecord>();
  readonly #logs = new Map<string, LogEntry[]>();
  readonly #troubles = new Set<Trouble>();
  readonly #held = new Set<ServerResponse>();
  readonly #turnedAway = new Map<string, number>();
  readonly #now: () => number;
  readonly images = new ImageStore();
  /** Where it pulls images from, and gives out the login for; null when it has none. */
  readonly registry: FakeRegistry | null;
  #sequence = 0;
  #endpoint = "";
  changes = 0;

  private constructor(registry: FakeRegistry | null, now: () => number) {
    this.registry = registry;
    this.#now = now;
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        if (!response.headersSent)
          send(response, { status: 500, body: { message: String(error) } });
        else response.destroy();
      });
    });
    this.#server.keepAliveTimeout = 60_000;
  }

  static async start(
    registry: FakeRegistry | null = null,
    now: () => number = Date.now,
  ): Promise<FakePlatform> {
    const platform = new FakePlatform(registry, now);
    platform.#server.listen(0, "127.0.0.1");
    await once(platform.#server, "listening");
    const address = platform.#server.address();
    if (address === null || typeof address === "string")
      throw new Error("the platform has no port");
    platform.#endpoint = `http://127.0.0.1:${address.port}`;
    return platform;
  }

  get endpoint(): string {
    return this.#endpoint;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
    await this.registry?.close();
  }

  trouble(kind: Trouble): void {
    this.#troubles.add(kind);
  }

  /** Ends all troubles. What hung is cut. */
  restore(): void {
    this.#troubles.clear();
    if (this.registry !== null) this.registry.fault = null;
    for (const response of this.#held) response.destroy();
    this.#held.clear();
  }

  /** What exists in truth, without the lag of reads. */
  existing(): {
    readonly services: readonly ServiceRecord[];
    readonly secrets: readonly SecretRecord[];
  } {
    const now = this.#now();
    return { services: this.#services.all(now), secrets: this.#secrets.all(now) };
  }

  holdService(name: string, held: "stopped" | "paused"): void {
    const now = this.#now();
    const service = this.#services.read(name, now);
    if (service !== null) this.#services.write(name, { ...service, held }, now);
  }

  /** Its process dies, and the platform starts another. */
  killService(name: string): void {
    const now = this.#now();
    const service = this.#services.read(name, now);
    const serving = service === null ? null : servingRollout(service, now);
    if (service === null || serving === null) return;
    const again = this.#rollout(name, serving.spec, "recreate", now);
    this.#services.write(name, { ...service, rollouts: [...service.rollouts, again] }, now);
  }

  removeService(name: string): void {
    this.#services.write(name, null, this.#now() - LONG_LAG_MS);
    this.#logs.delete(name);
  }

  removeSecret(name: string): void {
    this.#secrets.write(name, null, this.#now() - LONG_LAG_MS);
  }

  /** Everything that somebody with the right to read sees. */
  visible(): string {
    const { services, secrets } = this.existing();
    return JSON.stringify({ services, secrets: secrets.map(viewSecret) });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#troubles.has("down")) {
      response.destroy();
      return;
    }
    const url = new URL(request.url ?? "/", "http://platform");
    const [area = "", ...rest] = url.pathname.split("/").filter((part) => part !== "");
    const body = await bodyOf(request, area);
    if (area === "run") await this.#serve(rest, request, response, body);
    else await this.#answerApi([area, ...rest], url, request, response, body);
  }

  async #answerApi(
    path: readonly string[],
    url: URL,
    request: IncomingMessage,
    response: ServerResponse,
    body: unknown,
  ): Promise<void> {
    const change = request.method !== "GET";
    if (change) this.changes++;
    if (this.#troubles.has("cutOff")) {
      response.destroy();
      return;
    }
    if (this.#troubles.has("hang")) {
      this.#held.add(response);
      return;
    }
    const refusal = this.#refusal(request.method ?? "GET");
    const reply =
      refusal ??
      (await this.#failedPull(body)) ??
      (await this.#route(path, url, request.method ?? "GET", body));
    if (change && refusal === null && this.#troubles.delete("lostReply")) response.destroy();
    else send(response, reply);
  }

  #refusal(method: string): Reply | null {
    const change = method !== "GET";
    if (this.#troubles.has("expiredCredentials"))
      return problem(401, "ExpiredToken", "The security token is expired.");
    if (this.#troubles.has("throttle"))
      return {
        ...problem(429, "TooManyRequests", "Rate exceeded."),
        headers: { "Retry-After": String(THROTTLE_RETRY_SECONDS) },
      };
    if (change && this.#troubles.has("refuse"))
      return problem(403, "QuotaExceeded", "The quota of services is used up.");
    if (change && method !== "DELETE" && this.#troubles.has("full"))
      return problem(507, "DiskFull", "There is no space left.");
    return null;
  }

  /** Why the image of what shall run cannot be had; null when it is here, and when there is none. */
  async #failedPull(body: unknown): Promise<Reply | null> {
    const { data } = runsImageSchema.safeParse(body);
    if (data === undefined || this.images.has(data.spec.image)) return null;
    const { spec, login } = data;
    if (this.registry === null)
      return problem(400, "ImageMissing", `There is no image ${spec.image}.`);
    try {
      this.images.keep(spec.image, await pullImage(spec.image, login));
      return null;
    } catch (error) {
      if (!(error instanceof PullFailed)) throw error;
      const status = error.kind === "unavailable" ? 503 : 400;
      return problem(status, "PullFailed", `${spec.image} cannot be pulled: ${error.message}.`);
    }
  }

  /** Images are called by their references, which have slashes. */
  async #answerImages(url: URL, method: string, body: unknown): Promise<Reply> {
    const reference = url.searchParams.get("reference") ?? "";
    if (method === "GET") {
      const image = this.images.find(reference);
      return image === null ? notFound(`image ${reference}`) : { status: 200, body: image };
    }
    return body instanceof Uint8Array && (await this.images.load(reference, body))
      ? { status: 200, body: {} }
      : problem(400, "LayerMissing", "A layer of the image is neither here nor in the archive.");
  }

  #route(path: readonly string[], url: URL, method: string, body: unknown): Reply | Promise<Reply> {
    const [collection, name, part] = path;
    if (collection === "images") return this.#answerImages(url, method, body);
    if (collection === "registry-login")
      return this.registry === null
        ? notFound("registry")
        : { status: 200, body: this.registry.login };
    const now = this.#now();
    const seen = now - (this.#troubles.has("lag") ? LONG_LAG_MS : LAG_MS);
    if (collection === "services" && name === undefined && method === "POST")
      return this.#createService(body, now);
    if (name === undefined && method === "GET") {
      if (collection === "services")
        return { status: 200, body: this.#services.all(seen).map((one) => this.#view(one, now)) };
      if (collection === "secrets")
        return { status: 200, body: this.#secrets.all(seen).map(viewSecret) };
    }
    if (name === undefined) return notFound(url.pathname);
    const service = this.#services.read(name, now);
    const secret = this.#secrets.read(name, now);
    switch (`${method} ${collection}${part === undefined ? "" : `/${part}`}`) {
      case "GET services": {
        const shown = this.#services.read(name, seen);
        return shown === null ? notFound(name) : { status: 200, body: this.#view(shown, now) };
      }
      case "PATCH services":
        return service === null ? notFound(name) : this.#updateService(service, body, now);
      case "DELETE services":
        return service === null ? notFound(name) : this.#deleteService(service, now);
      case "GET services/logs":
        return service === null ? notFound(name) : this.#readLogs(name, url, now);
      case "GET secrets": {
        const shown = this.#secrets.read(name, seen);
        return shown === null ? notFound(name) : { status: 200, body: viewSecret(shown) };
      }
      case "GET secrets/values": {
        const shown = this.#secrets.read(name, seen);
        return shown === null ? notFound(name) : { status: 200, body: shown.values };
      }
      case "PUT secrets":
        return this.#putSecret(name, secret, body, now);
      case "DELETE secrets":
        return secret === null ? notFound(name) : this.#deleteSecret(secret, now);
      default:
        return notFound(url.pathname);
    }
  }

  #createService(body: unknown, now: number): Reply {
    const { name, tags, spec } = createSchema.parse(body);
    if (!NAME.test(name)) return invalidName(name);
    if (this.#services.read(name, now) !== null)
      return problem(409, "AlreadyExists", `Service ${name} exists.`);
    const id = `svc-${++this.#sequence}`;
    const rollouts = [this.#rollout(name, spec, "rolling", now)];
    const service: ServiceRecord = { id, name, tags, rollouts, held: null, goneAt: null };
    this.#services.write(name, service, now);
    return { status: 201, body: this.#view(service, now) };
  }

  #updateService(service: ServiceRecord, body: unknown, now: number): Reply {
    if (service.goneAt !== null)
      return problem(409, "Deleting", `${service.name} is being deleted.`);
    const { tags, spec, strategy } = updateSchema.parse(body);
    const rollout = this.#rollout(service.name, spec, strategy, now);
    const updated = { ...service, tags, held: null, rollouts: [...service.rollouts, rollout] };
    this.#services.write(service.name, updated, now);
    return { status: 200, body: this.#view(updated, now) };
  }

  #rollout(name: string, spec: Spec, strategy: Strategy, now: number): Rollout {
    const pipeline =
      spec.image === null ? spec.pipeline : (this.images.pipelineOf(spec.image) ?? spec.pipeline);
    const { startMs, failure } = partOf(pipeline, spec.environment);
    const endsAt = now + startMs;
    this.#log(name, now, `starting revision ${spec.revision}`);
    if (failure !== null) this.#log(name, endsAt, `onInit failed: ${failure}`);
    return { spec, pipeline, startedAt: now, endsAt, succeeds: failure === null, strategy };
  }

  #deleteService(service: ServiceRecord, now: number): Reply {
    if (service.goneAt === null) {
      this.#services.write(service.name, { ...service, goneAt: now + REMOVAL_MS }, now);
      this.#logs.delete(service.name);
    }
    return { status: 202, body: {} };
  }

  #putSecret(name: string, before: SecretRecord | null, body: unknown, now: number): Reply {
    const { tags, values } = secretSchema.parse(body);
    if (!NAME.test(name)) return invalidName(name);
    if (before !== null && before.goneAt !== null)
      return problem(409, "Deleting", `${name} is being deleted.`);
    const id = before?.id ?? `sec-${++this.#sequence}`;
    const version = (before?.version ?? 0) + 1;
    const secret: SecretRecord = { id, name, tags, values, version, goneAt: null };
    this.#secrets.write(name, secret, now);
    return { status: 200, body: viewSecret(secret) };
  }

  #deleteSecret(secret: SecretRecord, now: number): Reply {
    if (secret.goneAt === null)
      this.#secrets.write(secret.name, { ...secret, goneAt: now + REMOVAL_MS }, now);
    return { status: 202, body: {} };
  }

  #view(service: ServiceRecord, now: number): ServiceView {
    const url = `${this.#endpoint}/run/${service.name}`;
    return viewService(service, { url, turnedAway: this.#turnedAway.get(service.name) ?? 0 }, now);
  }

  #log(service: string, at: number, text: string): void {
    const lines = this.#logs.get(service) ?? [];
    lines.push({ sequence: ++this.#sequence, at, replica: `${service}-1`, text });
    this.#logs.set(service, lines);
  }

  #readLogs(name: string, url: URL, now: number): Reply {
    const after = Number(url.searchParams.get("after") ?? 0);
    const lines = (this.#logs.get(name) ?? []).filter(
      (line) => line.sequence > after && line.at <= now,
    );
    const page = lines.slice(0, LOG_PAGE);
    return { status: 200, body: { lines: page, more: page.length < lines.length } };
  }

  /** The services' own side: what their clients reach. */
  async #serve(
    [name = "", ...route]: readonly string[],
    request: IncomingMessage,
    response: ServerResponse,
    body: unknown,
  ): Promise<void> {
    const now = this.#now();
    const service = this.#services.read(name, now);
    const serving = service === null ? null : servingRollout(service, now);
    if (service?.held === "paused") {
      response.destroy();
      return;
    }
    if (service === null || serving === null) {
      this.#turnedAway.set(name, (this.#turnedAway.get(name) ?? 0) + 1);
      send(response, problem(503, "Unavailable", `Nothing serves at ${name}.`));
      return;
    }
    const answer = this.#play(serving, `${request.method} /${route.join("/")}`, body);
    if (answer === null) {
      send(response, notFound(route.join("/")));
      return;
    }
    for (const text of answer.says) this.#log(name, now, text);
    if (answer.sleepMs > 0) await sleep(answer.sleepMs);
    send(response, answer);
  }

  #play(serving: Rollout, route: string, body: unknown) {
    const { spec } = serving;
    switch (route) {
      case "GET /health/ready":
        return answerHealth(spec);
      case "POST /invoke": {
        const secrets =
          spec.secrets === null ? null : this.#secrets.read(spec.secrets, this.#now());
        return answerInvoke(serving, secrets?.values ?? {}, body);
      }
      default:
        return null;
    }
  }
}

async function bodyOf(request: IncomingMessage, area: string): Promise<unknown> {
  if (request.method === "GET" || request.method === "DELETE") return null;
  return area === "images" ? buffer(request) : json(request);
}

function send(response: ServerResponse, { status, body, headers }: Reply): void {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

function problem(status: number, code: string, message: string): Reply {
  return { status, body: { code, message } };
}

function notFound(what: string): Reply {
  return problem(404, "NotFound", `There is no ${what}.`);
}

function invalidName(name: string): Reply {
  return problem(400, "InvalidName", `"${name}" is no usable name.`);
}

/** A text that differs whenever the resource was written. */
export function fingerprintOfService(service: ServiceRecord): string {
  const { id, tags, rollouts } = service;
  return JSON.stringify({ id, tags, rollouts: rollouts.length, spec: newestRollout(service).spec });
}

export function fingerprintOfSecret({ id, tags, version }: SecretRecord): string {
  return JSON.stringify({ id, tags, version } satisfies {
    id: string;
    tags: Tags;
    version: number;
  });
}
