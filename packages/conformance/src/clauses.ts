/** One duty of a deployer. Ids are stable: a clause is never renumbered and its id never means anything else. */
export interface Clause {
  readonly id: string;
  /** One or two sentences with MUST or MUST NOT. */
  readonly text: string;
  /** Which capability or property of the deployer makes it apply; null: it applies to every deployer. */
  readonly applies: string | null;
}

interface Section {
  readonly title: string;
  readonly clauses: Readonly<Record<string, string | readonly [text: string, applies: string]>>;
}

const SECTIONS: readonly Section[] = [
  {
    title: "Flavor and settings",
    clauses: {
      "FLAV-01":
        "A plugin MUST name the contract version that it was written for. A flavor's name MUST be lower-case letters, digits and `-`, and its description MUST NOT be empty.",
      "SET-01":
        "An unknown setting MUST be refused, at every depth, before the platform is called; one that is close to a known one MUST come with the suggestion.",
      "SET-02":
        "Every setting MUST have a description in its schema and a default, or be optional, or be one that the harness has to supply.",
      "SET-03":
        "Limits of the platform that can be known beforehand MUST be checked by the schema or by `check`, before the first call to the platform.",
    },
  },
  {
    title: "Plan",
    clauses: {
      "PLAN-01": "`plan` MUST NOT create, change or delete anything.",
      "PLAN-02":
        "For a deployment of which nothing exists, the plan MUST be `create` and MUST name exactly the resources that provision then creates.",
      "PLAN-03":
        "When the wanted revision serves, the plan MUST be `no-op` for every resource, and provision MUST then change nothing.",
      "PLAN-04":
        "When something differs, the plan MUST be `update` or `replace`, MUST name at least one field that differs with its values before and after, and provision MUST change exactly the resources that the plan names.",
      "PLAN-05":
        "The plan's action MUST be the strongest of its resources' actions: `no-op` exactly when nothing changes, `replace` exactly when a resource is replaced, and `create` only when one is created. Where some are created and others updated or kept, `create` and `update` are both right.",
      "PLAN-06":
        "When a resource was removed behind the deployer's back, the plan MUST NOT be `no-op`.",
      "PLAN-07": [
        "The plan of an update to another snapshot MUST NOT announce an interruption.",
        "`zeroDowntime`",
      ],
    },
  },
  {
    title: "Provision and deprovision",
    clauses: {
      "PROV-01":
        "After provision, the wanted revision MUST come to serve at the observed URL without any other call but `inspect`.",
      "PROV-02":
        "Provision of another snapshot MUST update the deployment in place: the same resources, and the new revision serves.",
      "PROV-03":
        "The environment of the request MUST reach the service unchanged, and a request that differs in nothing else MUST be rolled out.",
      "PROV-04":
        "Another number or other values of settings, with all else equal, MUST be rolled out.",
      "PROV-05": ["The snapshot's folder MUST NOT be changed.", 'artefact `"bundle"`'],
      "PROV-06":
        "When the service was stopped behind our back, another revision MUST come to serve, however many callers wait for it.",
      "IDEM-01":
        "Provision called again with the same request MUST leave the same resources, and no further one.",
      "IDEM-02":
        "Provision called again while the first roll-out is under way MUST go on where it stood.",
      "IDEM-03":
        "Deprovision MUST be idempotent: of a deployment that is gone, or that never was, it MUST succeed and observe `absent`.",
      "IDEM-04":
        "A deployer MUST keep no state in memory: another instance, in another process, MUST see and manage the same deployments.",
      "ISO-01":
        "Deployments MUST be independent of each other, also when the same deployer object handles them at the same time.",
      "DEPR-01":
        "After deprovision, every resource of the deployment MUST come to be gone from the platform, and its URL MUST NOT serve.",
      "DEPR-02":
        "Deprovision MUST also remove what is left of a deployment whose other resources are gone already.",
      "CLEAN-01":
        "Whatever happened before, deprovision MUST leave nothing behind. Checked after every check.",
    },
  },
  {
    title: "Journal and inventory",
    clauses: {
      "JOUR-01": "Every resource that is created MUST have been written to the journal.",
      "JOUR-02":
        "The journal's `intend` MUST be awaited before the platform is asked to create the resource.",
      "JOUR-03":
        "When the journal refuses to write, provision MUST fail and MUST NOT create the resource.",
      "JOUR-04":
        "`present` MUST be written for every resource that was created, and only once it exists.",
      "JOUR-05": "`gone` MUST be written only for a resource that no longer exists.",
    },
  },
  {
    title: "Observation",
    clauses: {
      "OBS-01":
        "A deployment of which nothing exists MUST be observed as `absent`, with no URL, no serving revision and no resources; that MUST NOT be an exception.",
      "OBS-02":
        "The resources of an observation MUST be those that exist on the platform, by the kinds and names that the journal was given.",
      "OBS-03":
        "A roll-out MUST be `complete` only when its revision takes the requests, and `serving` MUST name the revision that really takes them.",
      "OBS-04":
        "The observed revision and snapshot id MUST be those of the request that made them.",
      "OBS-05": "`inspect` MUST NOT change anything.",
      "OBS-06":
        "A service that was stopped behind the deployer's back MUST NOT stay observed as `running`: it MUST be observed as not running, or really run again.",
      "OBS-07":
        "After any of its resources was removed behind the deployer's back, `inspect` MUST tell what is left and MUST NOT throw.",
      "OBS-08":
        "An observation MUST NOT depend on the inventory or the metadata that the target carries.",
      "OBS-09":
        "Metadata MUST be plain JSON, and an observation of a deployment that exists MUST carry the facts that the one before carried.",
      "OBS-10":
        "A service that was suspended behind the deployer's back, and answers nothing, MUST NOT stay observed as `running`; the plan MUST NOT be `no-op`, and provision MUST bring it back into service.",
    },
  },
  {
    title: "Failure",
    clauses: {
      "FAIL-01":
        "A first roll-out that fails MUST come to be observed as `failed`, with an error that says why.",
      "FAIL-02": [
        "After a failed update the old revision MUST go on serving, and the observation MUST say `running`, name the old revision, and name the roll-out as failed with its error.",
        "`keepsOldOnFailure`",
      ],
      "FAIL-03": "After a failed roll-out, provision of a good one MUST bring it into service.",
      "FAIL-04":
        "The error of a failed roll-out MUST carry the service's last log lines in `details.logs`.",
      "ERR-01":
        "Every error MUST be a MillraceError with an upper-case code, a message, and the advice what to do; only an abort may reject with the signal's own reason.",
      "ERR-02":
        "When the platform refuses, the error MUST be of class `platform`, MUST tell what the platform said, and MUST keep it as its cause.",
      "UNRE-01":
        "When the platform cannot be reached, every call MUST fail with an error of class `unreachable` that is retryable, and MUST NOT answer with an observation.",
      "UNRE-02":
        "Throttling MUST be an error of class `unreachable` that is retryable and carries the wait that the platform asked for.",
      "UNRE-03":
        "Credentials that expired MUST be an error of class `unreachable` that is not retryable and says what to do.",
    },
  },
  {
    title: "Images",
    clauses: {
      "IMG-01": "`imageTarget` MUST NOT create, change or delete anything.",
      "IMG-02":
        "`imageTarget` MUST name a repository without tag or digest, and MUST say the same of image, platform and repository whenever it is asked with the same settings: the same snapshot MUST have the same reference, which names it by its digest.",
      "IMG-03":
        "An image that has been delivered MUST be found where it is: it MUST NOT be delivered a second time.",
      "IMG-04":
        "An image that vanished from where it was delivered MUST NOT be said to be there: the next deploy MUST deliver it anew and end with the service.",
      "IMG-05":
        "When the image is missing, provision MUST fail with an error of class `platform` that names it, MUST NOT run another one in its place, and MUST leave what serves as it is.",
      "IMG-06":
        "`imageTarget` MUST obey the setting `image`: it MUST name the architecture that is set, and hand on the base.",
    },
  },
  {
    title: "Registries",
    clauses: {
      "REG-01":
        "The login for a registry MUST NOT appear in plans, observations, journal entries, progress messages, log lines and errors, in a repository or reference, nor in anything that the platform shows.",
      "REG-02":
        "When the registry does not accept the login, provision MUST fail with an error that is not retryable and MUST leave what serves as it is; once the login is accepted, the same provision MUST succeed.",
      "REG-03":
        "When the registry asks to wait, breaks, or hangs up in the middle of a layer, provision MUST go on by itself or fail with an error of class `unreachable` that is retryable, and MUST leave what serves as it is; once the registry is well, the same provision MUST succeed.",
    },
  },
  {
    title: "Faults in between",
    clauses: {
      "LOST-01":
        "When the platform carried out a request and its reply was lost, the next provision MUST converge to one service and no other resource.",
      "LOST-02":
        "When the reply to a removal was lost, the next deprovision MUST succeed and leave nothing.",
      "EVEN-01":
        "Reads that lag behind writes MUST NOT lead to a second service, to an exception, or to resources that are left behind.",
      "CRASH-01":
        "When the operator is killed at any write of the journal during a first deploy, the next deploy MUST end with one service and nothing else.",
      "CRASH-02":
        "When the operator is killed at any write of the journal during an update, the service MUST survive or be healed by the next deploy, with the same resources.",
      "CRASH-03":
        "When the operator is killed at any write of the journal, deprovision MUST leave nothing.",
      "DOWN-01":
        "When the platform goes down in the middle of a provision, the call MUST fail with an error of class `unreachable` that is retryable; once the platform is back, the same provision MUST converge to one service and no other resource.",
      "FULL-01":
        "When the platform has no room left, provision MUST fail with an error of class `platform` that says so and MUST leave what serves as it is; once there is room, the same provision MUST succeed.",
      "CONC-01":
        "Two provisions of one deployment at the same time MUST leave one service, which serves one of the two revisions; an error MUST be typed.",
      "ABRT-01":
        "When the signal aborts, a call MUST reject within a second, also while the platform does not answer.",
      "ABRT-02": "A call whose signal is aborted already MUST reject and MUST NOT change anything.",
    },
  },
  {
    title: "Logs",
    clauses: {
      "LOG-01":
        "`logs` MUST give every line that the service wrote, whole, unchanged, once, in order, and then end.",
      "LOG-02": ["`tail` MUST give exactly the last lines.", "`logs.tail`"],
      "LOG-03": ["`since` MUST give the lines from that time on, and none before.", "`logs.since`"],
      "LOG-04": [
        "`follow` MUST give the lines that are there and then each new one, and MUST end without an error soon after the signal aborts.",
        "`logs.follow`",
      ],
      "LOG-05": "`logs` of a deployment that does not exist MUST be empty and MUST NOT throw.",
      "LOG-06": ["Every line MUST say which replica wrote it.", "`logs.replicas`"],
      "LOG-07": ["`follow` MUST end when the deployment is gone.", "`logs.follow`"],
      "LOG-08": [
        "A log that goes with a resource MUST be handed whole to the context's `keepLog` before the resource is removed; when that rejects, the resource MUST stay, with its log, and the call MUST reject.",
        "a deployer that calls `keepLog`",
      ],
    },
  },
  {
    title: "Secrets",
    clauses: {
      "SEC-01": "Secret values MUST reach the service.",
      "SEC-02":
        "Secret values MUST NOT appear in plans, observations, journal entries, progress messages, log lines and errors.",
      "SEC-03": [
        "Secret values MUST NOT appear in anything that the platform shows: the environment, tags, descriptions, process lists.",
        "`secrets`",
      ],
      "SEC-04":
        "Another value of a secret, with all else equal, MUST be rolled out, and the plan MUST name the secret.",
      "SEC-05": [
        "A request with secrets MUST be refused with a typed error and MUST NOT be carried out.",
        "without `secrets`",
      ],
    },
  },
  {
    title: "Names",
    clauses: {
      "NAME-01": "Deployments whose names fold to the same text MUST NOT share a resource.",
      "NAME-02": "Names of resources MUST NOT change when the deployment is renamed.",
      "NAME-03":
        "Any name that Millrace allows, with 128 characters, capitals, dots and underscores, MUST work.",
      "NAME-04":
        "Names of resources MUST derive from the whole id: deployments made in the same millisecond MUST NOT share a resource.",
      "NAME-05":
        "Every resource that can carry tags MUST be tagged as ours: one tag MUST hold the deployment's id.",
      "NAME-06": [
        "`discover` MUST name each deployment that the platform has something of, with its id, name, project and resources, as long as there is any of it and no longer, whoever made it; it MUST NOT change anything.",
        "a deployer with `discover`",
      ],
    },
  },
  {
    title: "Capabilities",
    clauses: {
      "CAP-01": "The URL MUST begin with `https:` when `tls` is declared, and only then.",
      "CAP-02": [
        "The URL MUST be the same after an update, a failed update, and a deprovision that is followed by a provision.",
        "`stableUrl`",
      ],
      "CAP-03": [
        "No request MUST be lost while an update is carried out under load.",
        "`zeroDowntime`",
      ],
      "CAP-04": [
        "A query with `follow` MUST end by itself or be refused with an error of class `usage`.",
        "without `logs.follow`",
      ],
    },
  },
  {
    title: "Lifecycle, driven by control",
    clauses: {
      "LIFE-01":
        "`deploy` MUST end with RUNNING, at a URL where the service reports the deployment and the snapshot.",
      "LIFE-02":
        "`deploy` with nothing changed MUST plan `no-op` and MUST NOT record an operation.",
      "LIFE-03": "`deploy` of another snapshot MUST end with RUNNING on it.",
      "LIFE-04": [
        "A failed update MUST fail the operation and leave the deployment RUNNING on the old snapshot.",
        "`keepsOldOnFailure`",
      ],
      "LIFE-05":
        "`deprovision` MUST end with ABSENT and keep the record; `provision` MUST bring it back.",
      "LIFE-06": "`delete` MUST remove the record and every resource.",
      "LIFE-07":
        "When resources were removed behind our back, `refresh` MUST say so, and the next deploy MUST heal it.",
      "LIFE-08":
        "When the service was stopped behind our back, the next deploy MUST heal it, if it did not heal by itself.",
      "LIFE-09":
        "While the platform cannot be reached, `refresh` MUST leave UNKNOWN and MUST NOT wipe URL, inventory or metadata; afterwards it MUST be RUNNING again.",
      "LIFE-10":
        "A deploy at its deadline MUST end as timed out and leave PENDING; once the platform is done, `refresh` MUST make it RUNNING.",
      "LIFE-11":
        "A deploy that the caller aborts MUST be recorded as aborted; the next one MUST heal it.",
      "LIFE-12": "`rollback` MUST bring back the snapshot that served before.",
      "LIFE-13": "A deploy MUST wait out throttling and end with RUNNING.",
      "LIFE-14":
        "Two operators that deploy at the same time MUST end with one service; the loser MUST get a conflict.",
      "LIFE-15":
        "When the platform goes down in the middle of a deploy, the deployment MUST come to be UNKNOWN and nothing MUST be wiped; once the platform is back, the next deploy MUST heal it.",
      "LIFE-16":
        "When the service was suspended behind our back, `refresh` MUST NOT leave RUNNING, and the next deploy MUST heal it.",
      "LIFE-17": [
        "A deploy that finds no room on the platform MUST fail and leave the deployment RUNNING on the old snapshot; once there is room, the next one MUST succeed.",
        "`keepsOldOnFailure`",
      ],
      "LIFE-18": [
        "A deploy MUST wait out a registry that asks to wait, breaks, or hangs up in the middle of a layer, and end with RUNNING.",
        'artefact `"image"`, pushed to a registry',
      ],
      "LIFE-19": [
        "When the registry does not accept the login, deploy MUST fail at once and leave what serves and the record as they are; once the login is accepted, the next one MUST succeed.",
        'artefact `"image"`, pushed to a registry',
      ],
    },
  },
  {
    title: "The served HTTP contract",
    clauses: {
      "HTTP-01":
        "`POST /invoke` MUST answer 200 with outputs, execution time and the metadata of deployment, snapshot and run.",
      "HTTP-02":
        "Parameters that are not valid MUST be answered with 422 and every issue with its path.",
      "HTTP-03": "A body that is no JSON in UTF-8 MUST be answered with 400.",
      "HTTP-04": "A missing or wrong key MUST be answered with 401 and a challenge.",
      "HTTP-05":
        "The key MUST be accepted as `Authorization: Bearer` and as the password of HTTP Basic.",
      "HTTP-06": "An unknown path MUST be answered with 404.",
      "HTTP-07": "A wrong method MUST be answered with 405 and `Allow`, whatever the body is.",
      "HTTP-08": "A body over the limit MUST be answered with 413.",
      "HTTP-09":
        "A body of another media type, charset or content encoding MUST be answered with 415.",
      "HTTP-10": "A run that passes its deadline MUST be answered with 504.",
      "HTTP-11":
        "A step that fails MUST be answered with 500, `success: false`, the run's id and the step, and nothing internal.",
      "HTTP-12": "A client that hangs up MUST abort its run.",
      "HTTP-13":
        "`/health`, `/health/live` and `/health/ready` MUST answer 200 and name deployment, snapshot and revision.",
      "HTTP-14":
        "`/info` MUST name deployment, snapshot, the pipeline with its schemas, and the routes.",
      "HTTP-15": "`/metrics` MUST be Prometheus text that parses.",
      "HTTP-16":
        "`/openapi.json` MUST be an OpenAPI 3.1 document with the schemas of the pipeline, and `/docs` MUST be a page.",
      "HTTP-17":
        "Errors MUST be `application/problem+json` with status, a stable code and a request id.",
      "HTTP-18":
        "More requests than may run and wait MUST be answered with 429 or 503 and `Retry-After`.",
      "HTTP-19":
        "An invocation that accepts `text/event-stream` MUST get each event that a step emits while the run goes on, and the result last.",
    },
  },
];

/** What all clauses of a section depend on. */
const SECTION_APPLIES: Readonly<Record<string, string>> = {
  "The served HTTP contract": "platforms that run the real service",
  Images: 'artefact `"image"`',
  Registries: 'artefact `"image"`, pulled from a registry',
};

export const CLAUSES: readonly Clause[] = SECTIONS.flatMap(({ title, clauses }) =>
  Object.entries(clauses).map(([id, value]): Clause => {
    const [text, applies] = typeof value === "string" ? [value, null] : value;
    return { id, text, applies: applies ?? SECTION_APPLIES[title] ?? null };
  }),
);

export const CLAUSE_IDS: ReadonlySet<string> = new Set(CLAUSES.map(({ id }) => id));

/** The clauses as Markdown tables, one per section. */
export function clausesMarkdown(): string {
  return SECTIONS.map(({ title, clauses }) => {
    const rows = Object.keys(clauses).map((id) => {
      const clause = CLAUSES.find((candidate) => candidate.id === id);
      return `| ${id} | ${clause?.text} | ${clause?.applies ?? "always"} |`;
    });
    return [
      `### ${title}`,
      "",
      "| clause | duty | applies |",
      "| --- | --- | --- |",
      ...rows,
      "",
    ].join("\n");
  }).join("\n");
}
