import { defineConfig } from "vitest/config"
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/globalSetup.ts"],
    sequence: { concurrent: false },
    testTimeout: 30_000,
    // On two cores, too: tests wait for Postgres and receivers half of the time.
    minWorkers: 2,
    maxWorkers: 2,
    // Each test by its name: those of the numbered faults are to be found in the output.
    reporters: ["verbose"]
  }
})
