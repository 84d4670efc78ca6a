import { redact, type Secret } from "@millrace/core";

type Done = (error?: Error | null) => void;

/**
 * Replaces the clear values of secrets in what code of the pipeline prints, by `console.log` or to the process's streams. A
 * platform shows these lines to whoever may read its log.
 */
export function hidePrintedSecrets(secrets: readonly Secret[]): void {
  if (secrets.length === 0) return;
  const clean = (chunk: string | Uint8Array, encoding?: BufferEncoding): string | Uint8Array => {
    const text =
      typeof chunk === "string"
        ? Buffer.from(chunk, encoding).toString()
        : Buffer.from(chunk).toString();
    const cleaned = redact(text, secrets);
    return cleaned === text ? chunk : Buffer.from(cleaned);
  };
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream);
    stream.write = (chunk: string | Uint8Array, second?: BufferEncoding | Done, third?: Done) =>
      typeof second === "function"
        ? write(clean(chunk), second)
        : write(clean(chunk, second), second, third);
  }
}
