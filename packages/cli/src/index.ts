export { type Host, main } from "./main.ts";
export { flush, processTerminal, type Screen, type Terminal } from "./terminal.ts";
