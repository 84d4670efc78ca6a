/** Every route, its method, and whether it needs the key where there is one. */
export const ROUTES = [
  { method: "POST", path: "/invoke", key: true, summary: "Runs the pipeline" },
  { method: "GET", path: "/health", key: false, summary: "Whether the service takes requests" },
  { method: "GET", path: "/health/live", key: false, summary: "Whether the process lives" },
  {
    method: "GET",
    path: "/health/ready",
    key: false,
    summary: "Whether the service takes requests",
  },
  { method: "GET", path: "/info", key: true, summary: "What is served here" },
  { method: "GET", path: "/metrics", key: true, summary: "Metrics in Prometheus' text form" },
  { method: "GET", path: "/openapi.json", key: true, summary: "This interface as OpenAPI 3.1" },
  { method: "GET", path: "/docs", key: true, summary: "This interface as a page to read and try" },
] as const;

export type Path = (typeof ROUTES)[number]["path"];
