import { createHash } from "node:crypto";
import { isJsonObject, type JsonObject } from "./json.ts";
import { REDACTED } from "./secret.ts";

const SECRET_NAME =
  /(?:password|passphrase|secret|token|credentials?|(?:auth|api|access|private|signing)[_-]?key)$/i;

/** Whether a setting carries a secret by its name, as `splunk-token` does: its text is then not shown. */
export function isSecretSetting(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** The same settings with something else in place of each text that carries a secret by its name. */
function withoutSecrets(values: JsonObject, mask: (text: string) => string): JsonObject {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (isJsonObject(value)) return [name, withoutSecrets(value, mask)];
      return [name, typeof value === "string" && isSecretSetting(name) ? mask(value) : value];
    }),
  );
}

/** To be shown: `[secret]` in place of each text that carries a secret by its name. */
export function withoutSecretSettings(values: JsonObject): JsonObject {
  return withoutSecrets(values, () => REDACTED);
}

/**
 * To be kept on a platform and compared later: the beginning of a digest in place of each text that carries a secret by its name,
 * so that another value is another one.
 */
export function withSecretSettingsDigested(values: JsonObject): JsonObject {
  return withoutSecrets(
    values,
    (text) => `sha256:${createHash("sha256").update(text).digest("hex").slice(0, 12)}`,
  );
}
