import { Readable } from "node:stream";
import {
  ARCHITECTURES,
  type EngineDestination,
  type EngineImage,
  type ImagePlatform,
  MillraceError,
} from "@millrace/core";
import { z } from "zod";
import type { Engine, EngineAccess } from "./engine.ts";
import { engineFault } from "./engine-errors.ts";
import { readProgress } from "./engine-progress.ts";
import { LABELS } from "./names.ts";

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
  Id: z.string(),
  RepoDigests: z.array(z.string()).nullish(),
  Os: z.string(),
  Architecture: z.string(),
  RootFS: z.looseObject({ Layers: z.array(z.string()).default([]) }),
  Config: z.record(z.string(), z.json()),
});

/** The engine as a place that images are handed to. */
export function engineDestination(access: EngineAccess): EngineDestination {
  return {
    kind: "engine",
    repository: REPOSITORY,
    find: async (reference, context) => findImage(await access.open(context), reference),
    load: async (reference, archive, context) =>
      load(await access.open(context), reference, archive),
    build: async (reference, archive, platform, context) =>
      build(await access.open(context), reference, archive, platform),
  };
}

export async function findImage(engine: Engine, reference: string): Promise<EngineImage | null> {
  const found = await engine.find(`look at the image ${reference}`, () =>
    engine.docker.getImage(reference).inspect(),
  );
  if (found === null) return null;
  const { Architecture, Config, Id, Os, RepoDigests, RootFS } = imageSchema.parse(found);
  return {
    os: Os,
    architecture: Architecture,
    diffIds: RootFS.Layers,
    config: Config,
    // The classic image store knows an image by the digest of its configuration.
    content: RepoDigests?.some((digest) => digest.endsWith(`@${Id}`))
      ? { digest: Id, save: () => engine.saveImage(reference) }
      : null,
  };
}

/**
 * Sends a tar and reads the engine's answer to its end. @returns Its last lines.
 * @throws What reading the archive threw, which says nothing of the engine; else as of engine-errors.ts
 */
async function send(
  engine: Engine,
  what: string,
  archive: AsyncIterable<Uint8Array>,
  call: (body: Readable, options: { abortSignal: AbortSignal }) => Promise<NodeJS.ReadableStream>,
): Promise<readonly string[]> {
  let unread: { readonly error: unknown } | undefined;
  async function* read() {
    try {
      yield* archive;
    } catch (error) {
      unread = { error };
      throw error;
    }
  }
  const body = Readable.from(read(), { objectMode: false });
  try {
    return await engine.ask(what, async (options) => readProgress(await call(body, options), what));
  } catch (error) {
    throw unread === undefined ? error : unread.error;
  } finally {
    // A call that failed has perhaps not read it all.
    body.destroy();
  }
}

/** How containerd's image store tells that a layer is neither in the archive nor there; the image is then of no use. */
const NOT_WHOLE = /^Error unpacking image/;

async function load(
  engine: Engine,
  reference: string,
  archive: AsyncIterable<Uint8Array>,
): Promise<void> {
  const what = `load the image ${reference}`;
  const told = await send(engine, what, archive, (body, options) =>
    engine.docker.loadImage(body, { ...options, quiet: true }),
  );
  const fault = told.find((line) => NOT_WHOLE.test(line));
  if (fault !== undefined) throw engineFault(fault, what);
}

async function build(
  engine: Engine,
  reference: string,
  archive: AsyncIterable<Uint8Array>,
  { os, architecture }: ImagePlatform,
): Promise<void> {
  await send(engine, `build the image ${reference}`, archive, (body, options) =>
    engine.docker.buildImage(body, {
      ...options,
      t: reference,
      labels: { [LABELS.base]: "dockerfile" },
      platform: `${os}/${architecture}`,
      forcerm: true,
    }),
  );
}
