import { instrument, LEAK_VARIABLE, leak, SECRET_NAME } from "./instrument.ts";

export default instrument({
  name: "conformance_secret",
  version: 1,
  secrets: [SECRET_NAME],
  onInit: async ({ secret }) => {
    if (process.env[LEAK_VARIABLE] !== undefined) leak(secret(SECRET_NAME).reveal());
  },
});
