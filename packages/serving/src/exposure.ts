import { isLoopback, MillraceError, type ServiceConfig } from "@millrace/core";

/**
 * Refuses to serve beyond this machine without a key.
 * @throws MillraceError `KEY_REQUIRED`
 */
export function checkExposure(host: string, config: ServiceConfig): void {
  if (config.authKeyHash !== null || config.serving.allowUnauthenticated || isLoopback(host))
    return;
  throw new MillraceError({
    class: "usage",
    code: "KEY_REQUIRED",
    message: `The service would listen on ${host}, where others can reach it, without a key.`,
    action: "Set `generateAuthKey` or `authKey`; or, to serve everybody, `allowUnauthenticated`.",
  });
}
