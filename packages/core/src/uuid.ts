import { randomBytes } from "node:crypto";

/** Every number of 12 bits as three hexadecimal digits. */
const SEQUENCE = Array.from({ length: 4096 }, (_, n) => n.toString(16).padStart(3, "0"));
/** Hexadecimal digits that one id takes from the pool. */
const DIGITS = 16;

/**
 * Makes UUIDv7 ids (RFC 9562): ordered by time, and among themselves by the order of the calls, whatever the clock does; 62
 * random bits. When a millisecond's 4096 numbers are used up, the next millisecond is borrowed.
 */
export function uuidv7Source(now: () => number): () => string {
  let pool = "";
  let position = 0;
  let millisecond = -1;
  let prefix = "";
  let sequence = 0;
  const moveTo = (time: number): void => {
    millisecond = time;
    prefix = `${uuidv7Floor(time)}-7`;
    sequence = 0;
  };
  return () => {
    const time = now();
    if (time > millisecond) moveTo(time);
    else if (++sequence === SEQUENCE.length) moveTo(millisecond + 1);
    if (position === pool.length) {
      pool = randomDigits();
      position = 0;
    }
    const start = position;
    position += DIGITS;
    return `${prefix}${SEQUENCE[sequence]}-${pool.slice(start, start + 4)}-${pool.slice(start + 4, position)}`;
  };
}

/** A UUIDv7 of this process. */
export const uuidv7 = uuidv7Source(() => Date.now());

/** Less or equal to every UUIDv7 that was made at the time or later, and greater than every earlier one. */
export function uuidv7Floor(ms: number): string {
  const time = Math.min(Math.max(Math.floor(ms), 0), 0xffff_ffff_ffff);
  const digits = time.toString(16).padStart(12, "0");
  return `${digits.slice(0, 8)}-${digits.slice(8)}`;
}

/** Random digits for 256 ids at once. The first byte of each carries the variant in its two highest bits. */
function randomDigits(): string {
  const bytes = randomBytes(256 * (DIGITS / 2));
  for (let start = 0; start < bytes.length; start += DIGITS / 2) {
    bytes[start] = 0x80 | ((bytes[start] ?? 0) & 0x3f);
  }
  return bytes.toString("hex");
}
