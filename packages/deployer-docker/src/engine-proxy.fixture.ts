import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

type Mode = "open" | "cut off" | "hanging" | "refusing";

/** Calls that ask for a change of what exists; what is written to and read from a container is none. */
const READS = new Set(["GET", "HEAD"]);

/** Stands between a deployer and its engine: counts what goes through, and breaks it on command. */
export class EngineProxy {
  readonly socket: string;
  /** Names of containers, networks and volumes that were asked for through it. */
  readonly created = new Set<string>();
  changes = 0;
  /** Images that the engine was given. */
  loads = 0;
  readonly #engine: string;
  readonly #folder: string;
  readonly #server: Server;
  readonly #held = new Set<ServerResponse>();
  #mode: Mode = "open";
  #loseNext = false;

  private constructor(engine: string) {
    this.#engine = engine;
    this.#folder = mkdtempSync(join(tmpdir(), "millrace-proxy-"));
    this.socket = join(this.#folder, "docker.sock");
    this.#server = createServer((asked, answer) => void this.#forward(asked, answer));
  }

  /** @param engine Path of the engine's socket. */
  static async open(engine: string): Promise<EngineProxy> {
    const proxy = new EngineProxy(engine);
    proxy.#server.listen(proxy.socket);
    await once(proxy.#server, "listening");
    return proxy;
  }

  set mode(mode: Mode) {
    this.#mode = mode;
    if (mode === "cut off") this.#server.closeAllConnections();
    if (mode !== "hanging") for (const answer of this.#held) answer.destroy();
  }

  /** The next thing is created or removed, and the answer does not arrive. */
  loseNextAnswer(): void {
    this.#loseNext = true;
  }

  restore(): void {
    this.mode = "open";
    this.#loseNext = false;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #forward(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = "GET", url = "/" } = asked;
    if (this.#mode === "cut off") return void asked.destroy();
    if (this.#mode === "hanging") {
      this.#held.add(answer);
      asked.resume();
      return;
    }
    const isChange = !READS.has(method);
    if (isChange && this.#mode === "refusing") {
      asked.resume();
      answer.writeHead(500, { "content-type": "application/json" });
      answer.end('{"message":"write /var/lib/docker: no space left on device"}');
      return;
    }
    const makes = method === "DELETE" || /\/create(?:\?|$)/.test(url);
    const loses = makes && this.#loseNext;
    if (loses) this.#loseNext = false;
    if (isChange) this.#note(url, asked);
    const { headers } = asked;
    const passed = request({ socketPath: this.#engine, method, path: url, headers });
    asked.pipe(passed);
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    const [reply] = (await once(passed, "response").catch(() => [])) as [IncomingMessage?];
    if (reply === undefined) return;
    if (loses) {
      reply.resume();
      asked.socket.destroy();
      return;
    }
    answer.writeHead(reply.statusCode ?? 500, reply.headers);
    reply.pipe(answer);
  }

  #note(url: string, asked: IncomingMessage): void {
    this.changes++;
    const { pathname, searchParams } = new URL(url, "http://engine");
    if (/\/images\/load$/.test(pathname)) this.loads++;
    if (/\/containers\/create$/.test(pathname)) this.#add(searchParams.get("name"));
    if (/\/containers\/[^/]+\/rename$/.test(pathname)) this.#add(searchParams.get("name"));
    if (/\/(?:networks|volumes)\/create$/.test(pathname)) {
      let body = "";
      asked.on("data", (chunk) => {
        body += chunk;
      });
      asked.on("end", () => {
        const { Name }: { Name?: string } = JSON.parse(body);
        this.#add(Name ?? null);
      });
    }
  }

  #add(name: string | null): void {
    if (name !== null) this.created.add(name);
  }
}
