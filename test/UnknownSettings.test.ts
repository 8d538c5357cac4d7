import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import * as UnknownSettings from "../src/UnknownSettings.ts"

const warnings = (environment: Readonly<Record<string, string>>, pathDelim = "_") =>
  Effect.withConfigProvider(
    UnknownSettings.warnings,
    ConfigProvider.fromMap(new Map(Object.entries(environment)), { pathDelim, seqDelim: "," })
  )

describe("a variable that looks like a setting", () => {
  it.effect("and is none is named, with the setting that it resembles", () =>
    Effect.gen(function*() {
      const misspelt = {
        WEBHOOKS_RETRY_POLICY_MAX_ATEMPTS: "WEBHOOKS_RETRY_POLICY_MAX_ATTEMPTS",
        WEBHOOKS_ENABLE: "WEBHOOKS_ENABLED",
        WEBHOOKS_DISPATCHER_CONCURENCY: "WEBHOOKS_DISPATCHER_CONCURRENCY",
        WEBHOOKS_MAX_PAYLOAD_SIZE_MB: "WEBHOOKS_MAX_PAYLOAD_SIZE_KB",
        WEBHOOKS_ALLOWED_IP_RANGES: "WEBHOOKS_ALLOWED_URL_SCHEMES",
        WEBHOOK_USER_AGENT: ""
      }
      for (const [name, meant] of Object.entries(misspelt)) {
        const expected = meant === "" ? [] : [`${name} is no setting and has no effect. Did you mean ${meant}?`]
        assert.deepStrictEqual(yield* warnings({ [name]: "canary" }), expected)
      }
      const all = yield* warnings(misspelt)
      assert.lengthOf(all, 5)
      assert.notInclude(all.join(), "canary")
    }))

  it.effect("and is one, or belongs to somebody else, is not", () =>
    Effect.gen(function*() {
      const environment = {
        PATH: "/bin",
        DATABASE_URL: "x",
        WEBHOOKS_ENABLED: "nonsense",
        WEBHOOKS_ENCRYPTION_KEYS: "k1:…",
        WEBHOOKS_RATE_LIMIT_BURST: "1",
        WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS: "1"
      }
      assert.isEmpty(yield* warnings(environment))
    }))

  it.effect("is found where another setting's name begins with its own, and whatever parts the names are read in", () =>
    Effect.gen(function*() {
      const environment = { WEBHOOKS_RATE: "1", WEBHOOKS_RATE_LIMIT_BURST: "1" }
      for (const delimiter of ["_", "."]) {
        const [warning, ...others] = yield* warnings(environment, delimiter)
        assert.match(warning ?? "", /^WEBHOOKS_RATE is no setting/)
        assert.isEmpty(others)
      }
    }))
})
