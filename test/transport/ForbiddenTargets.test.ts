import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Layer } from "effect"
import { isIP } from "node:net"
import { AddressPolicy, make as makePolicy } from "../../src/transport/AddressPolicy.ts"
import { UrlGuard } from "../../src/transport/UrlGuard.ts"
import { forbiddenAnswers, forbiddenTargets } from "../support/ForbiddenTargets.ts"

const policy = makePolicy({ allowed: [], disallowed: [] })

const guard = Effect.runSync(
  UrlGuard.pipe(Effect.provide(
    UrlGuard.layer({ schemes: ["https", "http"], ownHosts: [] }).pipe(
      Layer.provide(Layer.succeed(AddressPolicy, policy))
    )
  ))
)

const targets = forbiddenTargets({ port: 8_443, own: 4_400 })

const hostOf = (url: string) => new URL(url).hostname.replace(/^\[|\]$/g, "")

describe("the corpus of forbidden targets", () => {
  it("has more than four hundred spellings, no two alike", () => {
    assert.isAbove(targets.length, 400)
    assert.strictEqual(new Set(targets.map(({ url }) => url)).size, targets.length)
  })

  it("spells the addresses that it says, to the URL parser", () => {
    const spelled = targets.filter(({ leadsTo }) => isIP(leadsTo) !== 0)
    assert.isAbove(spelled.length, 250)
    for (const { leadsTo, url } of spelled) {
      const plain = isIP(leadsTo) === 4 ? leadsTo : hostOf(`http://[${leadsTo}]/`)
      assert.strictEqual(hostOf(url), plain, url)
    }
  })

  it("A1–A9 is refused by the guard, each entry with its own code", () => {
    for (const { code, leadsTo, url } of targets) {
      const checked = guard.check(url)
      assert.strictEqual(Either.isLeft(checked) ? checked.left.code : "accepted", code, `${url} (${leadsTo})`)
    }
  })

  it("holds no code that it does not try", () => {
    assert.sameMembers(
      [...new Set(targets.map(({ code }) => code))],
      ["url_forbidden_address", "url_forbidden_host", "url_invalid", "url_port", "url_scheme", "url_userinfo"]
    )
  })

  it("A4 answers of a name server that lead inside are forbidden at every port", () => {
    for (const ip of [...forbiddenAnswers.A, ...forbiddenAnswers.AAAA]) {
      for (const port of [80, 443, 8_443]) assert.strictEqual(policy.check(ip, port)._tag, "Forbidden", ip)
    }
  })
})
