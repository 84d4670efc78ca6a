import { defineConfig } from "millrace";

/** What the examples use beside the default stack. */
export default defineConfig({
  plugins: ["@millrace/deployer-docker"],
  deployers: { docker: { flavor: "docker" } },
  stacks: { docker: { deployer: "docker" } },
});
