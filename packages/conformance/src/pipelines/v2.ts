import { instrument } from "./instrument.ts";

export default instrument({ name: "conformance_v2", version: 2 });
