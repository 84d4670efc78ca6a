import { expect, it } from "vitest";
import { readListening } from "./listening.ts";

const HEAD =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const row = (local: string, state: string) =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 1 1\n`;

it("addresses that something listens on are read from the kernel's table, each once", () => {
  const table = [
    HEAD,
    row("0100007F:1F90", "0A"),
    row("0100007F:1F90", "0A"),
    row("00000000:0050", "0A"),
    row("0100007F:8AE0", "01"),
  ].join("");
  expect(readListening(table)).toEqual(["127.0.0.1:8080", "0.0.0.0:80"]);
});

it("those of IPv6 as well", () => {
  const row6 = (local: string) =>
    `   0: ${local} ${"0".repeat(32)}:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 1 1\n`;
  const table = row6(`${"0".repeat(32)}:1F90`) + row6(`${"0".repeat(24)}01000000:1F91`);
  expect(readListening(table)).toEqual(["[::]:8080", "[::1]:8081"]);
});

it("Docker's resolver is left out, and what is no table has none", () => {
  expect(readListening(row("0B00007F:9C40", "0A"))).toEqual([]);
  expect(readListening("")).toEqual([]);
  expect(readListening("OCI runtime exec failed")).toEqual([]);
});
