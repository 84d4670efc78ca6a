import { MillraceError } from "@millrace/core";
import { megabytes } from "../byte-count.ts";
import { skipping } from "../chunks.ts";
import { startMeter } from "../digest.ts";
import { discard } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { corrupt, unanswered } from "./errors.ts";
import { pullScope } from "./manifests.ts";

/** Smaller ones come and go unnoticed. */
const WORTH_TELLING = 1_000_000;

/** How often one download goes on after a cut. */
const MOST_CUTS = 5;

function missing(registry: string, what: string): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "BLOB_MISSING",
    message: `The registry ${registry} lists ${what} and does not have it.`,
    action: "Push the image to it again.",
    details: { registry },
  });
}

/**
 * A blob's bytes, checked against its digest by the time that they end. After a cut it goes on where it was.
 * @throws MillraceError BLOB_CORRUPT, BLOB_MISSING, and those of every request.
 */
export async function* downloadBlob(
  connection: Connection,
  repository: string,
  { digest, size }: { readonly digest: string; readonly size: number },
): AsyncGenerator<Uint8Array> {
  const { registry, context } = connection;
  const what = `the layer ${digest} of ${repository}`;
  const meter = startMeter();
  if (size > WORTH_TELLING)
    context.progress(`Getting ${megabytes(size)} of ${repository} from ${registry}`);
  for (let cuts = 0; meter.size < size || cuts === 0; cuts++) {
    const answer = await connection.request({
      method: "GET",
      url: `/v2/${repository}/blobs/${digest}`,
      what,
      scopes: [pullScope(repository)],
      headers: meter.size === 0 ? {} : { range: `bytes=${meter.size}-` },
      expected: [200, 206, 404],
    });
    if (answer.status === 404 || answer.body === null) {
      await discard(answer);
      throw missing(registry, what);
    }
    const known = answer.status === 206 ? 0 : meter.size;
    try {
      for await (const chunk of skipping(answer.body, known)) {
        meter.add(chunk);
        if (meter.size > size) break;
        yield chunk;
      }
    } catch (error) {
      context.signal.throwIfAborted();
      if (cuts === MOST_CUTS) throw unanswered(registry, what, error);
      context.progress(
        `The registry ${registry} cut off ${what}. Going on after ${meter.size} bytes.`,
      );
      continue;
    }
    break;
  }
  const actual = meter.digest();
  if (actual !== digest) throw corrupt(registry, what, digest, actual);
}
