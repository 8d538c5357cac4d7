import { defineConfig } from "vitest/config"
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/globalSetup.ts"],
    sequence: { concurrent: false },
    testTimeout: 30_000,
    // Each test by its name: those of the numbered faults are to be found in the output.
    reporters: ["verbose"]
  }
})
