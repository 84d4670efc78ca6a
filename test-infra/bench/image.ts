import { spawn } from "node:child_process";
import { appendFileSync, cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Client } from "millrace";
import { bundleRuntime } from "../../packages/control/src/image/runtime-bundle.ts";
import { Fingerprints } from "../../packages/control/src/snapshot/fingerprint.ts";
import { BASE_IMAGE, hasImage, importBaseImage } from "../docker/base-image.ts";
import { provideEngine, type TestEngine } from "../docker/engine.ts";
import { startRegistry } from "../docker/registry.ts";
import { makeAndPush } from "./push-image.ts";
import { type Result, round } from "./results.ts";
import { median, medianRatio } from "./statistics.ts";

const EXAMPLE = fileURLToPath(new URL("../../apps/weather/pipeline.ts", import.meta.url));
const DOCKERFILE = (base: string) => `FROM ${base}
COPY runtime /millrace/runtime
COPY snapshot /millrace/snapshot
ENV HOST=0.0.0.0 PORT=8080
EXPOSE 8080
USER 1000:1000
WORKDIR /millrace/snapshot
ENTRYPOINT ["node", "/millrace/runtime/runtime.js", "serve", "/millrace/snapshot"]
`;

type Sent = Awaited<ReturnType<typeof makeAndPush>>;

interface Timed<T> {
  readonly seconds: number;
  readonly result: T;
}

/** Runs a program to its end. @throws Error when it fails. */
async function timed(
  program: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<Timed<string>> {
  const began = performance.now();
  const child = spawn(program, args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const [result, errors, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    exited,
  ]);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} failed: ${errors}${result}`);
  return { seconds: (performance.now() - began) / 1000, result };
}

/**
 * The example's image, made and pushed: cold, with its code changed, and with nothing changed; beside `docker build` and
 * `docker push` of the same files onto the same base, in turns. Docker's work is done in its daemon, which runs already; ours in
 * a process that runs already, as it does within a deploy.
 */
export async function benchImage(client: Client, home: string, rounds: number): Promise<Result[]> {
  const engine = await provideEngine();
  if ("missing" in engine) throw new Error(`There is no Docker engine: ${engine.missing}.`);
  const registry = await startRegistry("open");
  try {
    const bench = await prepare(client, home, engine, registry.host);
    const cold = await bench.push();
    const unchanged: Sent[] = [];
    const changed: Timed<Sent>[] = [];
    const docker: number[] = [];
    await bench.docker(0);
    for (let i = 1; i <= rounds; i++) {
      unchanged.push((await bench.push()).result);
      bench.change();
      changed.push(await bench.push());
      docker.push(await bench.docker(i));
    }
    const ours = changed.map(({ seconds }) => seconds);
    const bytes = median(changed.map(({ result }) => result.bytes));
    return [
      {
        key: "image.changed",
        value: bytes,
        unit: "bytes",
        budget: { atMost: 1_000_000 },
        detail: `${changed[0]?.result.blobs} blobs; cold ${cold.result.bytes} bytes in ${round(cold.seconds)} s`,
      },
      {
        key: "image.unchanged",
        value: Math.max(...unchanged.map(({ blobs }) => blobs)),
        unit: "blobs",
        budget: { atMost: 0 },
        detail: `${rounds} pushes`,
      },
      {
        key: "image.speed",
        value: medianRatio(docker, ours),
        unit: "ratio",
        budget: { atLeast: 5 },
        detail: `docker build and push ${round(median(docker))} s over ${round(median(ours))} s, a code change`,
      },
    ];
  } finally {
    await registry.stop();
    await engine.stop();
  }
}

interface ImageBench {
  /** Makes and pushes the image as Millrace does. */
  push(): Promise<Timed<Sent>>;
  /** Builds and pushes it with Docker; seconds. */
  docker(tag: number): Promise<number>;
  /** Changes the user's code. */
  change(): void;
}

async function prepare(
  client: Client,
  home: string,
  { socket }: TestEngine,
  registry: string,
): Promise<ImageBench> {
  const environment = { ...process.env, DOCKER_HOST: `unix://${socket}` };
  const run = (program: string, ...args: readonly string[]) => timed(program, args, environment);
  const base = `${registry}/base:1`;
  if (!(await hasImage(socket, BASE_IMAGE))) await importBaseImage(socket);
  await run("docker", "tag", BASE_IMAGE, base);
  await run("docker", "push", "--quiet", base);
  const context = join(home, "image");
  mkdirSync(context, { recursive: true });
  const fingerprints = new Fingerprints(join(home, "fingerprints"), "bench");
  cpSync(await bundleRuntime(join(home, "runtimes"), fingerprints), join(context, "runtime"), {
    recursive: true,
  });
  const { id } = await client.snapshots.create(EXAMPLE);
  const snapshot = join(home, "artifacts/default/snapshots", id.replace("sha256:", ""));
  cpSync(snapshot, join(context, "snapshot"), { recursive: true });
  writeFileSync(join(context, "Dockerfile"), DOCKERFILE(base));
  return {
    async push() {
      const began = performance.now();
      const result = await makeAndPush({
        base,
        repository: `${registry}/ours`,
        runtime: join(context, "runtime"),
        snapshot: join(context, "snapshot"),
        cacheDirectory: join(home, "images"),
      });
      return { seconds: (performance.now() - began) / 1000, result };
    },
    async docker(tag) {
      const name = `${registry}/theirs:${tag}`;
      const build = await run("docker", "build", "--quiet", "--tag", name, context);
      const push = await run("docker", "push", "--quiet", name);
      return build.seconds + push.seconds;
    },
    change: () =>
      appendFileSync(join(context, "snapshot/pipeline.mjs"), `// ${process.hrtime.bigint()}\n`),
  };
}
