export { createEngine, type Engine, type EngineOptions, type Invocation } from "./engine.ts";
export type { Run } from "./run.ts";
export { folderStepCache, memoryStepCache, type StepCache } from "./step-cache.ts";
