import { extname } from "node:path";
import { fakeHarness } from "./harness.ts";

const plugin = new URL(`./plugin${extname(import.meta.url)}`, import.meta.url).href;

/** The harness of the reference deployer for images that the platform is given. */
export default fakeHarness({ name: "fake-image", plugin, flavor: "fake-image" }, "engine");
