import { isIP } from "node:net";
import { imageSettingsSchema } from "@millrace/core";
import { z } from "zod";

const port = z.int().min(1).max(65_535);
const bytes = z
  .string()
  .regex(/^[1-9][0-9]*[bkmg]?$/i, "must be a number of bytes, or one with k, m or g, such as 512m")
  .refine((size) => Number.isSafeInteger(bytesOf(size)), "is more than any machine has");

/** Log drivers that keep files, which grow without an end unless they are told not to. */
const FILE_DRIVERS: ReadonlySet<string> = new Set(["json-file", "local"]);

/** By setrlimit(2), as the engine spells them. */
const LIMITS = [
  "as",
  "core",
  "cpu",
  "data",
  "fsize",
  "locks",
  "memlock",
  "msgqueue",
  "nice",
  "nofile",
  "nproc",
  "rss",
  "rtprio",
  "rttime",
  "sigpending",
  "stack",
] as const;

/**
 * What `runOptions` may set: the keys of HostConfig of the Docker Engine API, apart from those that have a
 * setting of their own and those that the deployer sets. dockerode's types lack some, so that they cannot check the list. The engine reads keys whatever their case and skips those that it does not know,
 * so that others could undo what the deployer sets, or do nothing.
 */
const RUN_OPTIONS = new Set([
  "Annotations",
  "BlkioDeviceReadBps",
  "BlkioDeviceReadIOps",
  "BlkioDeviceWriteBps",
  "BlkioDeviceWriteIOps",
  "BlkioWeight",
  "BlkioWeightDevice",
  "CapAdd",
  "Cgroup",
  "CgroupnsMode",
  "CgroupParent",
  "ConsoleSize",
  "CpuCount",
  "CpuPercent",
  "CpuPeriod",
  "CpuQuota",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "CpusetCpus",
  "CpusetMems",
  "CpuShares",
  "DeviceCgroupRules",
  "Devices",
  "Dns",
  "DnsOptions",
  "DnsSearch",
  "GroupAdd",
  "IOMaximumBandwidth",
  "IOMaximumIOps",
  "IpcMode",
  "Isolation",
  "KernelMemoryTCP",
  "Links",
  "MaskedPaths",
  "MemoryReservation",
  "MemorySwap",
  "MemorySwappiness",
  "OomKillDisable",
  "OomScoreAdj",
  "PidMode",
  "Privileged",
  "ReadonlyPaths",
  "Runtime",
  "StorageOpt",
  "Sysctls",
  "UsernsMode",
  "UTSMode",
  "VolumeDriver",
  "VolumesFrom",
]);

const NO_RUN_OPTION =
  "is no key of HostConfig, has a setting of its own, or is the deployer's to set";

/** What a stack config says of a deployer of flavor `docker`. */
export const settingsSchema = z.strictObject({
  engine: z
    .string()
    .regex(/^(?:unix|tcp|http|https|ssh|npipe):\/\//, "must begin with unix://, tcp:// or ssh://")
    .optional()
    .meta({
      description:
        "Where the engine is: unix:///path, tcp://host:port, ssh://user@host. Default: DOCKER_HOST, else the current context of Docker's configuration, else /var/run/docker.sock.",
    }),
  registry: z.string().min(1).max(255).optional().meta({
    description:
      "Repository that images are pushed to and that the engine pulls from, such as registry.example.com/team/app. Default: images are handed to the engine directly.",
  }),
  image: imageSettingsSchema.prefault({}).meta({ description: "How the image is made." }),
  bind: z
    .string()
    .refine((address) => isIP(address) !== 0, "must be an IP address, such as 127.0.0.1 or 0.0.0.0")
    .default("127.0.0.1")
    .meta({ description: "Address of the engine's machine that the port is published on." }),
  port: port.optional().meta({
    description:
      "Port to publish. Default: the deployment's previous port, else one of the range that is free.",
  }),
  portRange: z
    .tuple([port, port])
    .refine(([from, to]) => from <= to, "must begin with the lower port")
    .default([9000, 9999])
    .meta({ description: "First and last port to choose from when none is configured." }),
  startTimeoutSeconds: z.number().positive().max(7200).optional().meta({
    description: "How long a container may take to be ready. Default: initTimeoutSeconds + 30.",
  }),
  restart: z.enum(["unless-stopped", "always", "on-failure", "no"]).default("always").meta({
    description:
      "When the engine starts a container again that has ended. Engines that crash and start anew take all containers for stopped by hand: of these, only always brings a container back.",
  }),
  memory: bytes.optional().meta({ description: "Memory that a container may use, such as 512m." }),
  cpus: z
    .number()
    // The least that the kernel's scheduler takes.
    .min(0.01)
    .max(1024)
    .optional()
    .meta({ description: "Processors that a container may use, such as 1.5." }),
  pids: z
    .int()
    .min(16)
    .max(1_000_000)
    .default(1024)
    .meta({ description: "Processes and threads that a container may have." }),
  gpus: z
    .union([z.literal("all"), z.int().min(1).max(64)])
    .optional()
    .meta({ description: "GPUs that a container gets: all, or how many." }),
  shmSize: bytes
    .optional()
    .meta({ description: "Size of /dev/shm, such as 256m. Default: Docker's." }),
  readOnly: z.boolean().default(true).meta({
    description:
      "Mounts the container's root file system read-only; /tmp stays writable, in memory.",
  }),
  tmpSize: bytes.default("256m").meta({ description: "Size of /tmp in a read-only container." }),
  volumes: z
    .array(
      z.string().regex(/^[^:]+:\/[^:]*(?::(?:ro|rw))?$/, "must be source:/path or source:/path:ro"),
    )
    .default([])
    .meta({
      description: "Volumes and folders of the engine's machine: name:/path, /folder:/path:ro.",
    }),
  networks: z
    .array(z.string().min(1))
    .default([])
    .meta({ description: "Networks that exist and that the service joins beside its own." }),
  extraHosts: z
    .array(z.string().regex(/^[^:]+:.+$/, "must be name:address"))
    .default([])
    .meta({
      description: "Further names for addresses: db:10.0.0.5, host.docker.internal:host-gateway.",
    }),
  ulimits: z
    .array(
      z
        .strictObject({
          name: z.enum(LIMITS).meta({ description: "Which limit, such as nofile." }),
          soft: z.int().meta({
            description:
              "What applies until a process raises it, which it may up to hard; -1 is none.",
          }),
          hard: z.int().meta({
            description: "The most that a process may raise it to; -1 for as much as it likes.",
          }),
        })
        .refine(
          ({ soft, hard }) => hard === -1 || (soft !== -1 && soft <= hard),
          "must have a soft limit that is not above the hard one",
        ),
    )
    .default([])
    .meta({ description: "Limits of the kernel, such as nofile." }),
  logDriver: z.string().default("json-file").meta({
    description:
      "Docker's log driver. Others than json-file, local and journald cannot be read back.",
  }),
  logOptions: z.record(z.string(), z.string()).optional().meta({
    description:
      "Options of the log driver. Default: max-size 10m and max-file 5 for json-file and local, none for others.",
  }),
  labels: z
    .record(z.string(), z.string())
    .default({})
    .refine(
      (labels) => Object.keys(labels).every((name) => !name.startsWith("dev.millrace.")),
      "must not begin with dev.millrace., which is ours",
    )
    .meta({ description: "Further labels of the service's container." }),
  runOptions: z
    .record(z.string(), z.json())
    .superRefine((options, context) => {
      for (const name of Object.keys(options)) {
        if (!RUN_OPTIONS.has(name))
          context.addIssue({ code: "custom", path: [name], message: NO_RUN_OPTION });
      }
    })
    .default({})
    .meta({
      description:
        "Further keys of HostConfig of the Docker Engine API, such as CapAdd or Sysctls.",
    }),
});

export type DockerSettings = z.output<typeof settingsSchema>;

/** Bytes of a size such as 512m. */
export function bytesOf(size: string): number {
  const unit = /[a-z]$/i.exec(size)?.[0]?.toLowerCase() ?? "b";
  const factor = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }[unit] ?? 1;
  return Number.parseInt(size, 10) * factor;
}

/** The driver that writes a container's log, with its options. */
export function logConfigOf({
  logDriver,
  logOptions = FILE_DRIVERS.has(logDriver) ? { "max-size": "10m", "max-file": "5" } : {},
}: Pick<DockerSettings, "logDriver" | "logOptions">) {
  return { Type: logDriver, Config: logOptions };
}
