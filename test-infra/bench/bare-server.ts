/**
 * What the serving benchmarks compare with: Fastify with the same validation of the request by zod, the same two awaited
 * functions, and the same answer, written by Fastify's compiled serializer. Listens at HOST and PORT, by default on a free port of loopback, and prints the port.
 */
import Fastify from "fastify";
import { z } from "zod";

const request = z.strictObject({
  parameters: z.strictObject({ value: z.number() }),
  run_name: z.string().optional(),
  timeout: z.number().positive().optional(),
});
const value = z.object({ value: z.number() });

const addOne = async (input: { value: number }) => ({ value: input.value + 1 });
const double = async (input: { value: number }) => ({ value: input.value * 2 });

const app = Fastify({ logger: false });
app.post(
  "/invoke",
  {
    validatorCompiler: () => (body) => {
      const result = request.safeParse(body);
      return result.success ? { value: result.data } : { error: result.error };
    },
    schema: {
      body: {},
      response: {
        200: {
          type: "object",
          properties: {
            success: { type: "boolean" },
            outputs: {
              type: "object",
              properties: { result: { type: "object", properties: { value: { type: "number" } } } },
            },
            execution_time: { type: "number" },
            error: { type: "null" },
          },
        },
      },
    },
  },
  async (incoming) => {
    const { parameters } = incoming.body as z.output<typeof request>;
    const start = performance.now();
    const sum = value.parse(await addOne(value.parse(parameters)));
    const result = value.parse(await double(value.parse(sum)));
    return {
      success: true,
      outputs: { result },
      execution_time: (performance.now() - start) / 1000,
      error: null,
    };
  },
);
app.get("/health/ready", async () => ({ status: "ready" }));

const { HOST = "127.0.0.1", PORT = "0" } = process.env;
await app.listen({ port: Number(PORT), host: HOST });
const address = app.server.address();
if (address === null || typeof address === "string") throw new Error("no port");
process.stdout.write(`${address.port}\n`);
process.on("SIGTERM", () => process.exit(0));
