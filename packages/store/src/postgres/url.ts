/** Whether the URL of a store names a PostgreSQL database. */
export function isPostgresUrl(url: string): boolean {
  return /^postgres(?:ql)?:/i.test(url);
}

/** The URL as messages may show it: user, host and database, without password and options. */
export function placeOfPostgres(url: string): string {
  if (!URL.canParse(url)) return "postgres://…";
  const { username, host, pathname } = new URL(url);
  return `postgres://${username === "" ? "" : `${username}@`}${host}${pathname}`;
}
