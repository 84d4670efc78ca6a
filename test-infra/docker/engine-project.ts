import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Client, connect } from "@millrace/control";
import { Secret } from "@millrace/core";
import { BASE_IMAGE, importBaseImage } from "./base-image.ts";
import { type PrivateEngine, startEngine } from "./engine.ts";
import { askEngine } from "./engine-api.ts";
import type { EngineOptions } from "./private-engine.ts";

export interface Shown {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly State: string;
  readonly Labels: Readonly<Record<string, string>>;
}

/** A user's project that deploys to an engine which nobody else uses. */
export class EngineProject {
  readonly engine: PrivateEngine;
  readonly client: Client;
  readonly #folder: string;

  private constructor(engine: PrivateEngine, client: Client, folder: string) {
    this.engine = engine;
    this.client = client;
    this.#folder = folder;
  }

  /** @param secret Value of the secret TOKEN, which the pipelines use. */
  static async make(secret: string, options: EngineOptions = {}): Promise<EngineProject> {
    const engine = await startEngine(options);
    await importBaseImage(engine.socket);
    const folder = mkdtempSync(join(tmpdir(), "millrace-docker-"));
    for (const name of ["@millrace/core", "zod", "@millrace/deployer-docker"]) {
      const link = join(folder, "node_modules", name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(dirname(fileURLToPath(import.meta.resolve(`${name}/package.json`))), link);
    }
    const config = {
      plugins: ["@millrace/deployer-docker"],
      deployers: {
        docker: {
          flavor: "docker",
          settings: { engine: `unix://${engine.socket}`, image: { base: BASE_IMAGE } },
        },
      },
      stacks: { docker: { deployer: "docker" } },
      stack: "docker",
    };
    writeFileSync(join(folder, "millrace.config.json"), JSON.stringify(config));
    const client = await connect({ directory: folder, home: join(folder, "home") });
    await client.secrets.set("TOKEN", new Secret(secret));
    return new EngineProject(engine, client, folder);
  }

  /** Another store of the same project and stack, as a colleague would have it. Its owner closes it. */
  otherStore(): Promise<Client> {
    return connect({ directory: this.#folder, home: join(this.#folder, "other-home") });
  }

  async remove(): Promise<void> {
    await this.client.close();
    await this.engine.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Writes a pipeline of one step; its module may do something at the top or in `onInit`. */
  pipeline(
    name: string,
    parts: { readonly says?: string; readonly top?: string; readonly init?: string } = {},
  ): string {
    const file = join(this.#folder, `${name}-${parts.says ?? "one"}.ts`);
    writeFileSync(
      file,
      `import { definePipeline, defineStep } from "@millrace/core";
import { z } from "zod";
${parts.top ?? ""}
const work = defineStep({
  name: "work",
  input: z.object({}),
  output: z.object({ says: z.string(), secret: z.number() }),
  run: async (_input, ctx) => ({ says: ${JSON.stringify(parts.says ?? "one")}, secret: ctx.secret("TOKEN").reveal().length }),
});
export default definePipeline({
  name: ${JSON.stringify(name)},
  input: z.object({}),
  secrets: ["TOKEN"],
  onInit: async () => { ${parts.init ?? ""} },
  build: () => ({ out: work({}) }),
});
`,
    );
    return file;
  }

  /** Writes a file into the folder of the configuration. */
  write(name: string, content: string): void {
    writeFileSync(join(this.#folder, name), content);
  }

  /** What the service answers. */
  async says(name: string): Promise<string> {
    const { outputs } = await this.client.invoke(name, {});
    return JSON.stringify(outputs);
  }

  /** What the engine itself answers. */
  async list<T>(path: string): Promise<T> {
    const { status, text } = await askEngine(this.engine.socket, "GET", path);
    if (status !== 200) throw new Error(`the engine answers ${status}: ${text}`);
    return JSON.parse(text);
  }

  async containersOf(name: string): Promise<readonly Shown[]> {
    const all = await this.list<readonly Shown[]>("/containers/json?all=1");
    return all.filter(({ Labels }) => Labels["dev.millrace.name"] === name);
  }

  /** Names of all containers, networks and volumes that were made in the engine, sorted. */
  async everything(): Promise<readonly string[]> {
    const containers = await this.list<readonly Shown[]>("/containers/json?all=1");
    const networks = await this.list<readonly Named[]>(
      `/networks?filters=${encodeURIComponent('{"type":["custom"]}')}`,
    );
    const { Volumes } = await this.list<{ readonly Volumes: readonly Named[] | null }>("/volumes");
    return [
      ...containers.flatMap(({ Names }) => Names),
      ...networks.map(({ Name }) => Name),
      ...(Volumes ?? []).map(({ Name }) => Name),
    ].sort();
  }
}

interface Named {
  readonly Name: string;
}
