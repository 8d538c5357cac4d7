/**
 * How vitest runs test files under Stryker. Stryker counts failed tests, and a file whose import a mutant broke has none:
 * it would pass for a survivor (stryker-js#6150). Here such a file has one test, which fails.
 */
import { FastCheck } from "effect"
import { assert, test } from "vitest"
import { VitestTestRunner } from "vitest/runners"

// The same inputs for every mutant, so that a score can be repeated; and no time for the smallest input that kills one.
FastCheck.configureGlobal({ seed: 20_250_220, endOnFailure: true })

export default class MutationRunner extends VitestTestRunner {
  override async importFile(filepath: string, source: "collect" | "setup") {
    try {
      return await super.importFile(filepath, source)
    } catch (error) {
      if (source === "setup") throw error
      return test("can be loaded", () => assert.ifError(error))
    }
  }
}
