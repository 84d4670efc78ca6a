import { extname } from "node:path";
import { fakeHarness } from "./harness.ts";

const plugin = new URL(`./plugin${extname(import.meta.url)}`, import.meta.url).href;

/** The harness of the reference deployer. */
export default fakeHarness({ name: "fake", plugin, flavor: "fake" });
