import { MillraceError, type Secret } from "@millrace/core";
import { z } from "zod";
import { readJson } from "./answer.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import { refusal, unanswered, unauthorized } from "./errors.ts";
import { fetchAnswer, type Patience } from "./request.ts";

/** How to show a registry who calls. */
export type Login =
  | { readonly kind: "password"; readonly username: string; readonly password: Secret }
  /** A token that stands for a login, which the registry's token service changes for a short-lived one. */
  | { readonly kind: "identity"; readonly token: Secret };

/** Gives requests to one registry their Authorization header. */
export interface Authorization {
  /** For the scopes, as far as is known without asking. */
  header(scopes: readonly string[]): string | undefined;
  /** True when there is a login to show. */
  hasLogin(): Promise<boolean>;
  /**
   * After a 401: the header to try once more with.
   * @param refused The header that was not accepted.
   * @throws MillraceError REGISTRY_UNAUTHORIZED when there is nothing else to try.
   */
  answer(
    response: Response,
    scopes: readonly string[],
    what: string,
    refused?: string,
  ): Promise<string>;
}

interface Token {
  readonly header: string;
  readonly expiresAt: number;
}

const CLIENT = "millrace";
/** The token specification's default and least life. */
const SHORTEST_LIFE_SECONDS = 60;
/** Tokens are renewed this long before they end. */
const MARGIN_MS = 10_000;

/** What a header can have: a token with other characters is none. */
const SENDABLE = /^[\x21-\x7e]+$/;

/** Either name may be there, also without a value (github.com/distribution/distribution, registry/client/auth). */
const tokenSchema = z
  .object({
    token: z.string().nullish(),
    access_token: z.string().nullish(),
    expires_in: z.number().nullish(),
  })
  .transform(({ token, access_token, expires_in }) => ({
    token: token || (access_token ?? ""),
    seconds: expires_in ?? SHORTEST_LIFE_SECONDS,
  }))
  .refine(({ token }) => SENDABLE.test(token));

function basic(username: string, password: Secret): string {
  return `Basic ${Buffer.from(`${username}:${password.reveal()}`).toString("base64")}`;
}

export interface AuthorizationOptions {
  readonly registry: string;
  /** Asked for when the registry wants one, and once. */
  findLogin(): Promise<Login | null>;
  /** True for a token service that may be asked: TLS, or plain where the registry itself is. */
  trusts(url: URL): boolean;
  readonly patience: Patience;
}

export function authorize(options: AuthorizationOptions): Authorization {
  const { registry, trusts, patience } = options;
  let found: Promise<Login | null> | undefined;
  const tokens = new Map<string, Token>();
  const asking = new Map<string, Promise<Token>>();
  let always: string | undefined;

  const findLogin = () => {
    found ??= options.findLogin();
    return found;
  };

  async function ask(
    challenge: Challenge,
    scopes: readonly string[],
    what: string,
  ): Promise<Token> {
    const { realm = "", service } = challenge.parameters;
    const url = URL.parse(realm);
    if (url === null || !trusts(url))
      throw new MillraceError({
        class: "platform",
        code: "REGISTRY_UNSAFE",
        message: `The registry ${registry} names ${JSON.stringify(realm)} as its token service, which has no TLS.`,
        action: "Nothing was sent there. Use a registry whose token service has an https address.",
      });
    const login = await findLogin();
    const form = new URLSearchParams(service === undefined ? {} : { service });
    const init: RequestInit = { redirect: "error" };
    if (login?.kind === "identity") {
      form.set("grant_type", "refresh_token");
      form.set("client_id", CLIENT);
      form.set("scope", scopes.join(" "));
      form.set("refresh_token", login.token.reveal());
      Object.assign(init, { method: "POST", body: form });
    } else {
      for (const scope of scopes) form.append("scope", scope);
      if (login !== null) form.set("account", login.username);
      for (const [name, value] of form) url.searchParams.append(name, value);
      if (login !== null) init.headers = { authorization: basic(login.username, login.password) };
    }
    let response: Response;
    let answer: unknown;
    try {
      response = await fetchAnswer(url, init, patience);
      if (response.ok) answer = await readJson(response);
    } catch (error) {
      patience.signal.throwIfAborted();
      throw unanswered(url.host, "the request for a token", error);
    }
    if (response.status === 401 || response.status === 400)
      throw unauthorized(registry, what, login !== null);
    if (!response.ok) throw await refusal(url.host, "the request for a token", response);
    const { data } = tokenSchema.safeParse(answer);
    if (data === undefined)
      throw new MillraceError({
        class: "platform",
        code: "REGISTRY_REFUSED",
        message: `The token service ${url.host} of the registry ${registry} gave an answer without a token that can be sent.`,
        action: "Report this to whoever runs the registry.",
      });
    const life = Math.max(SHORTEST_LIFE_SECONDS, data.seconds) * 1000;
    return { header: `Bearer ${data.token}`, expiresAt: Date.now() + life - MARGIN_MS };
  }

  /** Several requests that need the same token at once ask for it once. */
  async function tokenFor(
    challenge: Challenge,
    scopes: readonly string[],
    what: string,
  ): Promise<Token> {
    const key = scopes.join(" ");
    const pending = asking.get(key) ?? ask(challenge, scopes, what);
    asking.set(key, pending);
    try {
      const token = await pending;
      tokens.set(key, token);
      return token;
    } finally {
      asking.delete(key);
    }
  }

  return {
    hasLogin: async () => (await findLogin()) !== null,
    header(scopes) {
      const token = tokens.get(scopes.join(" "));
      return token !== undefined && token.expiresAt > Date.now() ? token.header : always;
    },
    async answer(response, scopes, what, refused) {
      const challenges = parseChallenges(response.headers.get("www-authenticate") ?? "");
      const bearer = challenges.find(({ scheme }) => scheme === "bearer");
      if (bearer !== undefined) {
        const known = tokens.get(scopes.join(" "));
        // Another request may have got a new token while this one was on its way.
        if (known !== undefined && known.header !== refused) return known.header;
        return (await tokenFor(bearer, scopes, what)).header;
      }
      const login = await findLogin();
      const accepts = challenges.some(({ scheme }) => scheme === "basic");
      if (!accepts || login?.kind !== "password" || refused !== undefined)
        throw unauthorized(registry, what, login !== null);
      always = basic(login.username, login.password);
      return always;
    },
  };
}
