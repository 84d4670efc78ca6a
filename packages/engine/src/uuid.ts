import { randomFillSync } from "node:crypto";

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const pool = new Uint8Array(4096);
let position = pool.length;
let millisecond = 0;
let prefix = "";
let sequence = 0;

function randomByte(): number {
  if (position === pool.length) {
    randomFillSync(pool);
    position = 0;
  }
  return pool[position++] ?? 0;
}

function hex(): string {
  return HEX[randomByte()] ?? "00";
}

/**
 * A UUIDv7 (RFC 9562): ordered by time, and within this process by the order of the calls; 62 random bits.
 * When a millisecond's 4096 numbers are used up, the next millisecond is borrowed.
 */
export function uuidv7(): string {
  const now = Date.now();
  if (now > millisecond) {
    moveTo(now);
  } else if (++sequence > 0xfff) {
    moveTo(millisecond + 1);
  }
  const variant = HEX[0x80 | (randomByte() & 0x3f)] ?? "80";
  return `${prefix}${sequence.toString(16).padStart(3, "0")}-${variant}${hex()}-${hex()}${hex()}${hex()}${hex()}${hex()}${hex()}`;
}

function moveTo(time: number): void {
  millisecond = time;
  const digits = time.toString(16).padStart(12, "0");
  prefix = `${digits.slice(0, 8)}-${digits.slice(8)}-7`;
  // Begins low enough to leave room for the calls of this millisecond.
  sequence = randomByte();
}
