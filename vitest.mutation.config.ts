import { defineConfig } from "vitest/config"
// For `npm run mutate`: the unit tests of the mutated files and nothing else, so that no mutant waits for a Postgres.
export default defineConfig({
  test: {
    include: [
      "test/domain/{Circuit,Delivery,DeliveryError,RetryPolicy}*.test.ts",
      "test/signing/{CanonicalJson,PayloadSigner}*.test.ts",
      "test/transport/Address*.test.ts"
    ],
    isolate: false,
    runner: "test/support/MutationRunner.ts"
  }
})
