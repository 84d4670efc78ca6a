import { type DeployerContext, type DeploymentTarget, MillraceError } from "@millrace/core";
import { createTarDecoder } from "modern-tar";
import type { Engine } from "./engine.ts";
import { containerResource, LABELS, labelsOf, type Names } from "./names.ts";
import { spoolMount } from "./service-container.ts";
import type { Sight } from "./sight.ts";

/** A container, and where it has the volume of runs that wait for the store. */
interface SpoolReader {
  readonly name: string;
  readonly folder: string;
}

export function spoolReader({ next, service }: Sight): SpoolReader | null {
  for (const one of [service, next])
    if (one !== null && one.spoolFolder !== null)
      return { name: one.name, folder: one.spoolFolder };
  return null;
}

/**
 * Hands the runs that wait for a store which the service does not reach to whoever keeps them, since they go with the
 * deployment.
 */
export async function handOverSpool(
  engine: Engine,
  { name, folder }: SpoolReader,
  { keepLog }: Pick<DeployerContext, "keepLog">,
): Promise<void> {
  await keepLog?.(linesOf(engine.readFolder(name, folder)));
}

/**
 * The same where no container has the volume any more, by one that never starts. It has the name of the service, which is
 * free: who finds it after a crash deals with it as with any.
 */
export async function handOverLeftSpool(
  engine: Engine,
  target: DeploymentTarget,
  { service: name, spool }: Names,
  { journal, keepLog }: DeployerContext,
): Promise<void> {
  if (keepLog === undefined) return;
  const filters = { label: [LABELS.snapshot] };
  const [image] = await engine.ask("list images", () => engine.docker.listImages({ filters }));
  if (image === undefined) throw unreadable(spool);
  const folder = "/spool";
  const resource = containerResource(name);
  await journal.intend(resource);
  const id = await engine.createContainer({
    name,
    Image: image.Id,
    Labels: labelsOf(target, "spool"),
    HostConfig: { NetworkMode: "none", Mounts: [spoolMount(target, folder)] },
  });
  await journal.present(resource, id);
  await handOverSpool(engine, { name, folder }, { keepLog });
  await engine.removeContainer(name);
}

function unreadable(spool: string): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "SPOOL_UNREADABLE",
    message: `Runs may wait for the store in the volume ${spool}, and the engine has no image of Millrace left to read it with.`,
    action: `Deploy again and repeat the command; \`docker volume rm ${spool}\` gives the runs up.`,
  });
}

/** The lines of all files of an archive. A file's last one may have been cut off. */
async function* linesOf(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const newline = Buffer.from("\n");
  for await (const { body } of ReadableStream.from(archive).pipeThrough(createTarDecoder())) {
    yield* body;
    yield newline;
  }
}
