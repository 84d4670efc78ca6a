import { MillraceError } from "./errors.ts";

/** No control characters, in words that every reader of JSON Schema knows. */
export const RUN_NAME_PATTERN = "^[^\\u0000-\\u001f\\u007f-\\u009f]{1,200}$";
export const RUN_NAME_RULE =
  "1 to 200 characters, without control characters and halves of surrogate pairs";
const RUN_NAME = new RegExp(RUN_NAME_PATTERN, "u");

export function isRunName(name: string): boolean {
  return RUN_NAME.test(name) && name.isWellFormed();
}

/**
 * Checks a name that a user gives to a run.
 * @throws MillraceError `NAME_INVALID`
 */
export function validRunName(name: string): string {
  if (isRunName(name)) return name;
  const shown = JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
  throw new MillraceError({
    class: "usage",
    code: "NAME_INVALID",
    message: `${shown} is no usable run name.`,
    action: `Use ${RUN_NAME_RULE}.`,
  });
}

/** Where the last 12 digits of a UUID begin. */
const ID_END = 24;

/** Name of a run that was not given one. Answers and records tell the same, and the store does not keep it. */
export function defaultRunName(pipelineName: string, id: string): string {
  return `${pipelineName}-${id.slice(ID_END)}`;
}

export function isDefaultRunName(name: string, pipelineName: string, id: string): boolean {
  // The length first: it tells most names apart, and spares the others two strings.
  return (
    name.length === pipelineName.length + 1 + id.length - ID_END &&
    name === defaultRunName(pipelineName, id)
  );
}

/** What a default name is made of; null when the name cannot be one. */
export function partsOfDefaultRunName(
  name: string,
): { readonly pipelineName: string; readonly idEnd: string } | null {
  const [, pipelineName, idEnd] = /^(.*)-([0-9a-f]{12})$/s.exec(name) ?? [];
  return pipelineName === undefined || idEnd === undefined ? null : { pipelineName, idEnd };
}
