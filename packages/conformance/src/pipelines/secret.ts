import { instrument, SECRET_NAME } from "./instrument.ts";

export default instrument({ name: "conformance_secret", version: 1, secrets: [SECRET_NAME] });
