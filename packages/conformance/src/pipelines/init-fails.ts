import { instrument } from "./instrument.ts";

export default instrument({
  name: "conformance_init_fails",
  version: 1,
  onInit: async () => {
    throw new Error("conformance-init-failure");
  },
});
