import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import {
  ARCHITECTURES,
  type EngineDestination,
  type EngineImage,
  type ImagePlatform,
  MillraceError,
  type ReadContext,
} from "@millrace/core";
import { z } from "zod";
import { Engine } from "./engine.ts";

/** Repository that images are tagged with in the engine. */
const REPOSITORY = "millrace";

/** The platform that the engine runs images for, unless a setting names another. */
export async function enginePlatform(
  engine: Engine,
  architecture: ImagePlatform["architecture"] | undefined,
): Promise<ImagePlatform> {
  if (architecture !== undefined) return { os: "linux", architecture };
  const { Arch, Os } = await engine.ask("tell its version", () => engine.docker.version());
  const known = ARCHITECTURES.find((one) => one === Arch);
  if (Os === "linux" && known !== undefined) return { os: "linux", architecture: known };
  throw new MillraceError({
    class: "platform",
    code: "ENGINE_UNSUPPORTED",
    message: `The Docker engine runs ${Os}/${Arch} containers.`,
    action: `Use an engine for linux/${ARCHITECTURES.join(" or linux/")}.`,
  });
}

const imageSchema = z.looseObject({
  Os: z.string(),
  Architecture: z.string(),
  RootFS: z.looseObject({ Layers: z.array(z.string()).default([]) }),
  Config: z.record(z.string(), z.json()),
});

/** The engine as a place that images are handed to. */
export function engineDestination(url: string | undefined): EngineDestination {
  return {
    kind: "engine",
    repository: REPOSITORY,
    find: (reference, context) => findImage(new Engine(url, context), reference),
    load: (reference, archive, context) => load(new Engine(url, context), reference, archive),
    build: (reference, archive, platform, context) =>
      build(new Engine(url, context), reference, archive, platform, context),
  };
}

async function findImage(engine: Engine, reference: string): Promise<EngineImage | null> {
  const found = await engine.find(`look at the image ${reference}`, () =>
    engine.docker.getImage(reference).inspect(),
  );
  if (found === null) return null;
  const { Os, Architecture, RootFS, Config } = imageSchema.parse(found);
  return { os: Os, architecture: Architecture, diffIds: RootFS.Layers, config: Config };
}

async function load(
  engine: Engine,
  reference: string,
  archive: AsyncIterable<Uint8Array>,
): Promise<void> {
  await engine.ask(`load the image ${reference}`, async () => {
    const answer = await engine.docker.loadImage(Readable.from(archive), { quiet: true });
    mustHaveWorked(await buffer(answer), `load the image ${reference}`);
  });
}

async function build(
  engine: Engine,
  reference: string,
  archive: AsyncIterable<Uint8Array>,
  { os, architecture }: ImagePlatform,
  context: ReadContext,
): Promise<void> {
  await engine.ask(`build the image ${reference}`, async ({ abortSignal }) => {
    const answer = await engine.docker.buildImage(Readable.from(archive), {
      t: reference,
      platform: `${os}/${architecture}`,
      abortSignal,
    });
    context.progress(`Building ${reference}`);
    mustHaveWorked(await buffer(answer), `build the image ${reference}`);
  });
}

const progressSchema = z.looseObject({ error: z.string() });

/** The engine answers 200 and tells in its stream of JSON lines what went wrong. */
function mustHaveWorked(stream: Buffer, what: string): void {
  for (const line of stream.toString("utf8").split(/\r?\n/)) {
    if (!line.startsWith("{")) continue;
    const { data } = progressSchema.safeParse(JSON.parse(line));
    if (data === undefined) continue;
    throw new MillraceError({
      class: "platform",
      code: "IMAGE_REFUSED",
      message: `The Docker engine cannot ${what}: ${data.error}.`,
      action: "Correct what the engine names and deploy again.",
    });
  }
}
