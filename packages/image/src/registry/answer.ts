/** Error texts, tokens and the like are not longer. */
const LONGEST_TEXT = 64 * 1024;

/** The body's bytes up to a limit; null when there are more. */
export async function readBytes(answer: Response, limit: number): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    size += chunk.length;
    if (size > limit) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The body as text; empty when it is too long to be of use. */
export async function readText(answer: Response): Promise<string> {
  return new TextDecoder().decode((await readBytes(answer, LONGEST_TEXT)) ?? new Uint8Array(0));
}

/** The body as JSON; undefined when it is none. */
export async function readJson(answer: Response): Promise<unknown> {
  const text = await readText(answer);
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Lets go of a body that nobody reads, so that its connection can be used again. */
export async function discard(answer: Response): Promise<void> {
  await answer.body?.cancel();
}
