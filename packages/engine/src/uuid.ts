import { randomBytes } from "node:crypto";

/** Every number of 12 bits as three hexadecimal digits. */
const SEQUENCE = Array.from({ length: 4096 }, (_, n) => n.toString(16).padStart(3, "0"));
/** Hexadecimal digits that one id takes from the pool. */
const DIGITS = 16;
let pool = "";
let position = 0;
let millisecond = 0;
let prefix = "";
let sequence = 0;

/**
 * A UUIDv7 (RFC 9562): ordered by time, and within this process by the order of the calls; 62 random bits.
 * When a millisecond's 4096 numbers are used up, the next millisecond is borrowed.
 */
export function uuidv7(): string {
  const now = Date.now();
  if (now > millisecond) moveTo(now);
  else if (++sequence === SEQUENCE.length) moveTo(millisecond + 1);
  if (position === pool.length) refill();
  const start = position;
  position += DIGITS;
  return `${prefix}${SEQUENCE[sequence]}-${pool.slice(start, start + 4)}-${pool.slice(start + 4, position)}`;
}

/** Random digits for 256 ids at once. The first byte of each carries the variant in its two highest bits. */
function refill(): void {
  const bytes = randomBytes(256 * (DIGITS / 2));
  for (let start = 0; start < bytes.length; start += DIGITS / 2) {
    bytes[start] = 0x80 | ((bytes[start] ?? 0) & 0x3f);
  }
  pool = bytes.toString("hex");
  position = 0;
}

function moveTo(time: number): void {
  millisecond = time;
  const digits = time.toString(16).padStart(12, "0");
  prefix = `${digits.slice(0, 8)}-${digits.slice(8)}-7`;
  sequence = 0;
}
