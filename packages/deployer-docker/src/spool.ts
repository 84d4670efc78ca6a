import type { DeployerContext } from "@millrace/core";
import { createTarDecoder } from "modern-tar";
import type { Engine } from "./engine.ts";

/**
 * Hands the runs that wait for a store which the service does not reach to whoever keeps them, since they go with the
 * deployment.
 */
export async function handOverSpool(
  engine: Engine,
  container: string,
  folder: string,
  { keepLog }: Pick<DeployerContext, "keepLog">,
): Promise<void> {
  await keepLog?.(linesOf(engine.readFolder(container, folder)));
}

/** The lines of all files of an archive. A file's last one may have been cut off. */
async function* linesOf(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const newline = Buffer.from("\n");
  for await (const { body } of ReadableStream.from(archive).pipeThrough(createTarDecoder())) {
    yield* body;
    yield newline;
  }
}
