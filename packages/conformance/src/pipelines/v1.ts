import { instrument } from "./instrument.ts";

export default instrument({ name: "conformance_v1", version: 1 });
