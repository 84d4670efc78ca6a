import { randomBytes } from "node:crypto";

/** Makes UUIDv7 ids that grow in the order in which they were made, within a millisecond too (RFC 9562, method 1). */
export function uuidV7Source(now: () => number): () => string {
  let lastMs = 0;
  let counter = 0;
  return () => {
    const ms = now();
    if (ms > lastMs) {
      lastMs = ms;
      counter = randomBytes(1).readUInt8();
    } else {
      counter += 1;
    }
    if (counter > 0xfff) {
      lastMs += 1;
      counter = 0;
    }
    const random = randomBytes(8);
    random.writeUInt8((random.readUInt8(0) & 0x3f) | 0x80, 0);
    const tail = random.toString("hex");
    const time = hexTime(lastMs);
    return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, "0")}-${tail.slice(0, 4)}-${tail.slice(4)}`;
  };
}

/** Less or equal to every UUIDv7 that was made at the time or later, and greater than every earlier one. */
export function uuidV7Floor(ms: number): string {
  const time = hexTime(Math.min(Math.max(Math.floor(ms), 0), 0xffff_ffff_ffff));
  return `${time.slice(0, 8)}-${time.slice(8)}`;
}

function hexTime(ms: number): string {
  return ms.toString(16).padStart(12, "0");
}
