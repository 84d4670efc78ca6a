import { MillraceError } from "@millrace/core";
import { megabytes } from "../byte-count.ts";
import { skipping } from "../chunks.ts";
import { verified } from "../digest.ts";
import { discard } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { corrupt, unanswered } from "./errors.ts";
import { pullScope } from "./manifests.ts";

/** Smaller ones come and go unnoticed. */
const WORTH_TELLING = 1_000_000;

/** How often one download goes on after a cut. */
const MOST_CUTS = 5;

/** The error for what an image is said to have in a registry that does not have it. */
export function missing(registry: string, what: string): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "BLOB_MISSING",
    message: `The registry ${registry} lists ${what} and does not have it.`,
    action: "Push the image to it again.",
    details: { registry },
  });
}

interface Wanted {
  readonly digest: string;
  readonly size: number;
}

/**
 * A blob's bytes, checked against its digest before the last of them come. After a cut it goes on where it was.
 * @throws MillraceError BLOB_CORRUPT, BLOB_MISSING, and those of every request.
 */
export function downloadBlob(
  connection: Connection,
  repository: string,
  wanted: Wanted,
): AsyncIterable<Uint8Array> {
  const what = `the layer ${wanted.digest} of ${repository}`;
  return verified(receive(connection, repository, wanted, what), wanted.digest, (actual) =>
    corrupt(connection.registry, what, wanted.digest, actual),
  );
}

/** As many bytes as the blob shall have. */
async function* receive(
  connection: Connection,
  repository: string,
  { digest, size }: Wanted,
  what: string,
): AsyncGenerator<Uint8Array> {
  const { registry, context } = connection;
  let received = 0;
  if (size > WORTH_TELLING)
    context.progress(`Getting ${megabytes(size)} of ${repository} from ${registry}`);
  for (let cuts = 0; received < size || cuts === 0; cuts++) {
    const answer = await connection.request({
      method: "GET",
      url: `/v2/${repository}/blobs/${digest}`,
      what,
      scopes: [pullScope(repository)],
      headers: received === 0 ? {} : { range: `bytes=${received}-` },
      expected: [200, 206, 404],
    });
    if (answer.status === 404 || answer.body === null) {
      await discard(answer);
      throw missing(registry, what);
    }
    const known = answer.status === 206 ? 0 : received;
    try {
      for await (const chunk of skipping(answer.body, known)) {
        received += chunk.length;
        if (received > size) break;
        yield chunk;
      }
    } catch (error) {
      context.signal.throwIfAborted();
      if (cuts === MOST_CUTS) throw unanswered(registry, what, error);
      context.progress(
        `The registry ${registry} cut off ${what}. Going on after ${received} bytes.`,
      );
      continue;
    }
    break;
  }
  const came = received > size ? `more than ${size}` : String(received);
  if (received !== size) throw corrupt(registry, what, `${size} bytes`, `${came} bytes`);
}
