export { type Host, main } from "./main.ts";
export { finish, processTerminal, type Screen, type Terminal } from "./terminal.ts";
