import { enableCompileCache } from "node:module";

// Compiled code is kept from start to start, which halves the time that the modules need. Where no cache can be written,
// they are compiled each time. It has to be on before they are loaded.
enableCompileCache();
await import("./main.ts");
