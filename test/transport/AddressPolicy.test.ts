import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, FastCheck as fc, HashMap, Layer, Logger } from "effect"
import { networkInterfaces } from "node:os"
import {
  AddressPolicy,
  type AddressPolicyOptions,
  listeningOn,
  make,
  Verdict
} from "../../src/transport/AddressPolicy.ts"
import { parseAddress, parseRange } from "../../src/transport/AddressRange.ts"
import { embeddings as embeddingsByCarrier } from "../support/AddressSpellings.ts"
import { forbiddenIPv4 as forbiddenIPv4Ranges, forbiddenIPv6 } from "../support/ForbiddenAddresses.ts"

const ranges = (...texts: ReadonlyArray<string>) => texts.map((text) => Either.getOrThrow(parseRange(text)))

const check = (ip: string, port = 443, options: Partial<AddressPolicyOptions> = {}) =>
  make({ allowed: [], disallowed: [], ...options }).check(ip, port)

const allows = (...request: Parameters<typeof check>) => Verdict.$is("Allowed")(check(...request))

const edgesOfForbiddenIPv4 = forbiddenIPv4Ranges.map(([first, last]) => [first, last] as const)

const numberOf = (ip: string) => parseAddress(ip)?.value ?? 0n
const dotted = (value: bigint) => [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join(".")

const isWithinOne = (value: bigint) =>
  edgesOfForbiddenIPv4.some(([first, last]) => value >= numberOf(first) && value <= numberOf(last))

const forbiddenIPv4 = fc.constantFrom(...edgesOfForbiddenIPv4).chain(([first, last]) =>
  fc.bigInt({ min: numberOf(first), max: numberOf(last) })
)

/** Every way of putting an IPv4 address into the text of an IPv6 address that some system honours. */
const embeddings = Object.values(embeddingsByCarrier).map((embed) => (value: bigint) => embed(Number(value)))

/** The carriers that are nothing but another spelling. */
const mapped = Object.entries(embeddingsByCarrier)
  .filter(([carrier]) => carrier.startsWith("a mapped"))
  .map(([, embed]) => (value: bigint) => embed(Number(value)))

describe("AddressPolicy", () => {
  it("A4 refuses both edges of every special-purpose IPv4 range", () => {
    for (const edge of edgesOfForbiddenIPv4.flat()) assert.isFalse(allows(edge), edge)
  })

  it("allows what lies just outside the special-purpose IPv4 ranges", () => {
    const neighbours = edgesOfForbiddenIPv4
      .flatMap(([first, last]) => [numberOf(first) - 1n, numberOf(last) + 1n])
      .filter((value) => value > 0n && value <= 0xffff_ffffn && !isWithinOne(value))
      .map(dotted)
    for (const ip of [...neighbours, "1.1.1.1", "8.8.8.8", "126.255.255.255", "128.0.0.0", "223.255.255.255"]) {
      assert.isTrue(allows(ip), ip)
    }
  })

  it("A4 allows of IPv6 only global unicast without its special-purpose parts", () => {
    const forbidden = forbiddenIPv6.flatMap(([, ...addresses]) => addresses)
    for (const ip of forbidden) assert.isFalse(allows(ip), ip)
    for (const ip of ["2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1", "3ffe::1"]) {
      assert.isTrue(allows(ip), ip)
    }
  })

  it("A4 refuses what is not an IP address, zone ids included", () => {
    const texts = [
      "",
      "localhost",
      "1.1.1",
      "1.1.1.1.1",
      "0x7f.0.0.1",
      "2606:4700::1111%eth0",
      "1.1.1.1 ",
      "[::1]",
      "01.1.1.1"
    ]
    for (const text of texts) assert.isFalse(allows(text), text)
  })

  it.prop(
    "A4 refuses a forbidden IPv4 address, however it is embedded",
    [
      forbiddenIPv4,
      fc.constantFrom<(value: bigint) => string>(dotted, ...embeddings),
      fc.integer({ min: 1, max: 65535 })
    ],
    ([value, spell, port]) => assert.isFalse(allows(spell(value), port)),
    { fastCheck: { numRuns: 5_000 } }
  )

  it.prop(
    "A4 says of an IPv4 address in IPv6 what it says of the address",
    [
      fc.bigInt({ min: 0n, max: 0xffff_ffffn }),
      fc.constantFrom(...mapped)
    ],
    ([value, spell]) => assert.strictEqual(allows(spell(value)), allows(dotted(value))),
    {
      fastCheck: { numRuns: 2_000 }
    }
  )

  it.prop(
    "A4 refuses every IPv6 address outside 2000::/3",
    [fc.bigInt({ min: 0n, max: (1n << 128n) - 1n })],
    ([value]) => {
      fc.pre(value >> 125n !== 1n && value >> 32n !== 0xffffn)
      const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(16 * (7 - i))) & 0xffffn).toString(16))
      assert.isFalse(allows(groups.join(":")))
    }
  )

  it.prop("never throws", [fc.string(), fc.integer()], ([text, port]) => {
    allows(text, port)
  })

  it("opens what an exception names, and only at its port", () => {
    const options = { allowed: ranges("127.0.0.1/32:9000", "10.0.0.0/8", "[::1/128]:8080") }
    assert.isTrue(allows("127.0.0.1", 9000, options))
    assert.isTrue(allows("::ffff:127.0.0.1", 9000, options))
    assert.isFalse(allows("127.0.0.1", 9001, options))
    assert.isFalse(allows("127.0.0.2", 9000, options))
    assert.isTrue(allows("10.1.2.3", 1, options))
    assert.isTrue(allows("::1", 8080, options))
    assert.isFalse(allows("::1", 9000, options))
  })

  it("closes what the operator closed, exceptions notwithstanding", () => {
    const options = { allowed: ranges("10.0.0.0/8"), disallowed: ranges("10.1.0.0/16", "8.8.8.8", "1.1.1.1:25") }
    assert.isTrue(allows("10.2.0.1", 443, options))
    assert.isFalse(allows("10.1.0.1", 443, options))
    assert.isFalse(allows("8.8.8.8", 443, options))
    assert.isFalse(allows("1.1.1.1", 25, options))
    assert.isTrue(allows("1.1.1.1", 443, options))
  })

  it("A13 closes the service's own port on every loopback address, however loopback was opened", () => {
    for (const host of ["127.0.0.1", "localhost", "0.0.0.0", "::", "::1"]) {
      const options = { allowed: ranges("127.0.0.0/8", "::1/128"), disallowed: listeningOn(host, 4400) }
      assert.isFalse(allows("127.0.0.1", 4400, options), host)
      assert.isFalse(allows("127.9.9.9", 4400, options), host)
      assert.isFalse(allows("::1", 4400, options), host)
      assert.isTrue(allows("127.0.0.1", 4401, options), host)
    }
    assert.isFalse(allows("8.8.8.8", 4400, { disallowed: listeningOn("8.8.8.8", 4400) }))
  })

  it("A13 closes the one address that the service listens on, at its port", () => {
    const closed = (host: string) => listeningOn(host, 4400).map(String)
    assert.deepStrictEqual(closed("8.8.8.8"), ["8.8.8.8/32:4400"])
    assert.deepStrictEqual(closed("2606:4700::1111"), ["[2606:4700::1111/128]:4400"])
    for (const host of ["127.0.0.5", "::1"]) {
      assert.deepStrictEqual(closed(host), ["127.0.0.0/8:4400", "[::1/128]:4400"], host)
    }
  })

  it("A13 closes every address of the machine where the service listens on all, or on a name", () => {
    const addresses = Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address))
    for (const host of ["0.0.0.0", "::", "localhost", "hooks.internal"]) {
      const disallowed = listeningOn(host, 4400)
      const allowed = ranges("0.0.0.0/0", "::/0")
      for (const ip of [...addresses, "127.9.9.9"]) {
        assert.isFalse(allows(ip, 4400, { allowed, disallowed }), ip)
        assert.isTrue(allows(ip, 4401, { allowed, disallowed }), ip)
      }
      assert.isTrue(allows("8.8.8.8", 4400, { disallowed }))
    }
  })

  it("says what a forbidden address is", () => {
    const reasons: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
      ["this network", ["0.1.2.3"]],
      ["private use", ["10.0.0.1", "172.16.0.1", "192.168.1.1", "::ffff:10.0.0.1"]],
      ["shared address space", ["100.64.0.1"]],
      ["loopback", ["127.0.0.1", "::1"]],
      ["a cloud platform's own address", ["168.63.129.16"]],
      ["link local", ["169.254.169.254"]],
      ["IETF protocol assignments", ["192.0.0.1", "2001::1"]],
      ["documentation", ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"]],
      ["AS112", ["192.31.196.1", "192.175.48.1", "2620:4f:8000::1"]],
      ["AMT", ["192.52.193.1"]],
      ["6to4 relay", ["192.88.99.1"]],
      ["benchmarking", ["198.18.0.1"]],
      ["multicast", ["224.0.0.1"]],
      ["reserved", ["255.255.255.255"]],
      ["6to4", ["2002::1"]],
      ["not global unicast", ["fe80::1", "fd00::1", "ff02::1"]],
      ["not an IP address", ["localhost", ""]]
    ]
    for (const [why, ips] of reasons) {
      for (const ip of ips) assert.deepStrictEqual(check(ip), Verdict.Forbidden({ why }), ip)
    }
    assert.deepStrictEqual(
      check("8.8.8.8", 443, { disallowed: ranges("8.0.0.0/8") }),
      Verdict.Forbidden({ why: "closed by the operator of this service" })
    )
  })

  it("names the exception by which it allows, the one that names the port first", () => {
    const [wide, other, exact] = ranges("127.0.0.0/8", "127.0.0.1/32:9001", "127.0.0.1/32:9000")
    const allowed = [wide, other, exact].flatMap((range) => range ?? [])
    const exception = (ip: string, port: number) => {
      const verdict = check(ip, port, { allowed })
      return Verdict.$is("Allowed")(verdict) ? String(verdict.exception) : verdict.why
    }
    assert.strictEqual(exception("127.0.0.1", 9000), "127.0.0.1/32:9000")
    assert.strictEqual(exception("127.0.0.1", 9001), "127.0.0.1/32:9001")
    assert.strictEqual(exception("127.0.0.1", 9002), "127.0.0.0/8")
    assert.strictEqual(exception("127.0.0.2", 9000), "127.0.0.0/8")
    assert.deepStrictEqual(check("8.8.8.8", 443, { allowed }), Verdict.Allowed({ exception: null }))
  })

  it.effect("tells of its exceptions at boot, and is silent without any", () =>
    Effect.gen(function*() {
      const logged: Array<ReadonlyArray<string>> = []
      const logger = Logger.make(({ annotations, logLevel, message }) => {
        logged.push([logLevel.label, String(message), ...Array.from(HashMap.entries(annotations), String)])
      })
      const verdicts = (allowed: AddressPolicyOptions["allowed"]) =>
        AddressPolicy.pipe(
          Effect.map((policy) => ["10.0.0.1", "127.0.0.1", "8.8.8.8"].map((ip) => policy.check(ip, 9000)._tag)),
          Effect.provide(
            Layer.provide(AddressPolicy.layer({ allowed, disallowed: ranges("8.8.8.8") }), Logger.add(logger))
          )
        )
      assert.deepStrictEqual(yield* verdicts([]), ["Forbidden", "Forbidden", "Forbidden"])
      assert.deepStrictEqual(logged, [])
      const exceptions = ranges("10.0.0.0/8", "127.0.0.1/32:9000")
      assert.deepStrictEqual(yield* verdicts(exceptions), ["Allowed", "Allowed", "Forbidden"])
      assert.deepStrictEqual(logged, [
        ["WARN", "Deliveries may reach addresses that are not public", "ranges,10.0.0.0/8, 127.0.0.1/32:9000"]
      ])
    }))
})
