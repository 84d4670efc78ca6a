import { MillraceError } from "@millrace/core";

// What is kept under __proto__ is lost where objects are copied.
const NAME = /^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/**
 * Checks a secret's name: as for an environment variable, because that is one of the places for its value.
 * @throws MillraceError `NAME_INVALID`
 */
export function validSecretName(name: string): string {
  if (NAME.test(name)) return name;
  const shown = JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
  throw new MillraceError({
    class: "usage",
    code: "NAME_INVALID",
    message: `${shown} is no usable secret name.`,
    action:
      "Use 1 to 128 letters, digits and _, not beginning with a digit, as for environment variables, and not __proto__.",
  });
}
