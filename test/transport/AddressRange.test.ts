import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck as fc, Schema } from "effect"
import { AddressRange, AddressRangeFromString, parseAddress, parseRange } from "../../src/transport/AddressRange.ts"

const dotted = (value: bigint) => [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join(".")

describe("AddressRange", () => {
  const decode = Schema.decodeUnknownEither(AddressRangeFromString)

  it("reads and writes ranges, with and without a port", () => {
    const texts = [
      ["10.0.0.0/8", "10.0.0.0/8"],
      ["10.0.0.5", "10.0.0.5/32"],
      ["10.0.0.5:9000", "10.0.0.5/32:9000"],
      ["127.0.0.1/32:9000", "127.0.0.1/32:9000"],
      ["fd00::/8", "fd00::/8"],
      ["::1", "::1/128"],
      ["[::1]", "::1/128"],
      ["[fd00::/8]", "fd00::/8"],
      ["[::1]:80", "[::1/128]:80"],
      ["[::1/128]:8080", "[::1/128]:8080"],
      ["2001:db8:0:0:1::/80", "2001:db8::1:0:0:0/80"],
      ["::ffff:10.0.0.0/104", "10.0.0.0/8"],
      ["::ffff:0.0.0.0/96", "0.0.0.0/0"],
      ["10.0.0.5:1", "10.0.0.5/32:1"],
      ["10.0.0.5:65535", "10.0.0.5/32:65535"],
      ["  10.0.0.0/8\n", "10.0.0.0/8"],
      ["0.0.0.0/0", "0.0.0.0/0"],
      ["::/0", "::/0"]
    ]
    for (const [text, written] of texts) {
      assert.strictEqual(Either.getOrThrow(decode(text)).toString(), written)
      assert.strictEqual(Either.getOrThrow(decode(written)).toString(), written)
    }
  })

  it("says what is wrong with a range", () => {
    const wrong = [
      ["10.0.0.1/8", `has bits set beyond its prefix; did you mean "10.0.0.0/8"?`],
      ["10.0.0.0/33", `"10.0.0.0/33": the prefix must be 0 to 32, not 33`],
      ["fd00::/129", `"fd00::/129": the prefix must be 0 to 128, not 129`],
      ["::ffff:10.0.0.0/95", `"::ffff:10.0.0.0/95": the prefix must be 96 to 128, not 95`],
      ["10.0.0.0/8:0", `"10.0.0.0/8:0": the port must be 1 to 65535, not 0`],
      ["10.0.0.0/8:65536", `"10.0.0.0/8:65536": the port must be 1 to 65535, not 65536`],
      ["10.0.0/8", `"10.0.0" is not an IP address`],
      [
        "localhost",
        `"localhost" is not a range: ` +
        "expected cidr or cidr:port, as in 10.0.0.0/8, 127.0.0.1/32:9000, fd00::/8 or [::1/128]:8080"
      ],
      ["fe80::1%eth0/64", "expected cidr or cidr:port"],
      ["", "expected cidr or cidr:port"]
    ] as const
    for (const [text, message] of wrong) {
      const left = Either.flip(decode(text)).pipe(Either.getOrThrow)
      assert.include(left.message, message)
    }
  })

  it("refuses what only contains a range", () => {
    for (const text of ["10.0.0.5", "10.0.0.0/8", "10.0.0.0/8:80", "::1", "fd00::/8", "[::1]:80", "[::1/128]"]) {
      for (const more of [`x${text}`, `${text}x`, `${text} ${text}`]) {
        assert.include(Either.getOrThrow(Either.flip(parseRange(more))), `"${more}" is not a range`)
      }
    }
  })

  it("is called by its name where a setting has another type", () => {
    assert.include(Either.getOrThrow(Either.flip(decode(8))).message, "AddressRangeFromString")
  })

  it("is no range with a part missing", () => {
    const { base, family, port, prefix } = Either.getOrThrow(parseRange("10.0.0.0/8"))
    for (const part of [{ base, family, port }, { base, family, prefix }, { base, port, prefix }, { family, prefix }]) {
      assert.isTrue(Either.isLeft(Schema.validateEither(AddressRange)(part)))
    }
  })

  it.prop("holds no address of the other family, the same number though it is", [
    fc.bigInt({ min: 0n, max: 0xffff_ffffn }),
    fc.integer({ min: 0, max: 32 })
  ], ([value, prefix]) => {
    const base = (value >> BigInt(32 - prefix)) << BigInt(32 - prefix)
    const ipv4 = AddressRange.make({ family: 4, base, prefix, port: null })
    const ipv6 = AddressRange.make({ family: 6, base, prefix: prefix + 96, port: null })
    assert.isTrue(ipv4.includes({ family: 4, value }))
    assert.isTrue(ipv6.includes({ family: 6, value }))
    assert.isFalse(ipv4.includes({ family: 6, value }))
    assert.isFalse(ipv6.includes({ family: 4, value }))
  })

  it("numbers addresses, IPv4 inside IPv6 taken out", () => {
    const numbers: ReadonlyArray<readonly [string, ReturnType<typeof parseAddress>]> = [
      ["1.2.3.4", { family: 4, value: 0x0102_0304n }],
      ["::ffff:1.2.3.4", { family: 4, value: 0x0102_0304n }],
      ["::1.2.3.4", { family: 6, value: 0x0102_0304n }],
      ["::1", { family: 6, value: 1n }],
      ["::", { family: 6, value: 0n }],
      ["1::", { family: 6, value: 1n << 112n }],
      ["1:2:3:4:5:6:7:8", { family: 6, value: 0x0001_0002_0003_0004_0005_0006_0007_0008n }],
      ["1:2:3:4:5:6:1.2.3.4", { family: 6, value: 0x0001_0002_0003_0004_0005_0006_0102_0304n }],
      ["a::b:12.34.56.78", { family: 6, value: (0xan << 112n) | 0xb_0c22_384en }],
      ["fe80::1%eth0", null],
      ["1.2.3", null]
    ]
    for (const [text, address] of numbers) assert.deepStrictEqual(parseAddress(text), address, text)
  })

  it.prop("reads back what it wrote", [
    fc.boolean().chain((ipv4) =>
      fc.record({
        value: fc.bigInt({ min: 0n, max: (1n << (ipv4 ? 32n : 128n)) - 1n }),
        prefix: fc.integer({ min: 0, max: ipv4 ? 32 : 128 }),
        port: fc.option(fc.integer({ min: 1, max: 65535 })),
        family: fc.constant(ipv4 ? (4 as const) : (6 as const))
      })
    )
  ], ([{ family, port, prefix, value }]) => {
    const hostBits = BigInt((family === 4 ? 32 : 128) - prefix)
    const address = family === 4
      ? dotted(value)
      : Array.from({ length: 8 }, (_, i) => ((value >> BigInt(16 * (7 - i))) & 0xffffn).toString(16)).join(":")
    fc.pre((value >> hostBits) << hostBits === value && value >> 32n !== 0xffffn)
    const text = family === 4 ? `${address}/${prefix}` : `[${address}/${prefix}]`
    const range = Either.getOrThrow(parseRange(port === null ? text : `${text}:${port}`))
    assert.deepStrictEqual(Either.getOrThrow(parseRange(range.toString())), range)
    assert.strictEqual(range.base, value)
  })
})
