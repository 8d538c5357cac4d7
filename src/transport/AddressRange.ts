/**
 * IP addresses and ranges as numbers. Nothing here compares text: `::ffff:7f00:1` and `127.0.0.1` are the same
 * address.
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { isIPv4, isIPv6 } from "node:net"

export interface Address {
  readonly family: 4 | 6
  readonly value: bigint
}

/** A block of addresses, of every port or of one. */
export class AddressRange extends Schema.Class<AddressRange>("AddressRange")({
  family: Schema.Literal(4, 6),
  base: Schema.BigIntFromSelf,
  prefix: Schema.Int,
  /** The only port that the range speaks of; null where it speaks of all. */
  port: Schema.NullOr(Schema.Int)
}) {
  includes(address: Address): boolean {
    const hostBits = BigInt(widthOf(this.family) - this.prefix)
    return address.family === this.family && address.value >> hostBits === this.base >> hostBits
  }

  /** As it is written in settings. */
  override toString(): string {
    const cidr = `${formatAddress(this)}/${this.prefix}`
    if (this.port === null) return cidr
    return this.family === 4 ? `${cidr}:${this.port}` : `[${cidr}]:${this.port}`
  }
}

/** The address, IPv4 inside IPv6 taken out; null for what is none, a zone id included. */
export const parseAddress = (text: string): Address | null => {
  if (isIPv4(text)) return { family: 4, value: parseIPv4(text) }
  if (!isIPv6(text) || text.includes("%")) return null
  const value = parseIPv6(text)
  return value >> 32n === 0xffffn ? { family: 4, value: value & 0xffff_ffffn } : { family: 6, value }
}

/**
 * A range from its text: `10.0.0.0/8`, `10.0.0.5`, `127.0.0.1/32:9000`, `fd00::/8`, `[::1/128]:8080`. Left says what was
 * wrong.
 */
export const parseRange = (text: string): Either.Either<AddressRange, string> =>
  Either.gen(function*() {
    const match = withPort.exec(text) ?? withoutPort.exec(text)
    if (match === null) return yield* Either.left(`"${text}" is not a range: ${grammar}`)
    const [, bracketed, plain, port] = match
    const [address = "", prefix] = (bracketed ?? plain ?? "").split("/")
    const parsed = parseAddress(address)
    if (parsed === null) return yield* Either.left(`"${text}": "${address}" is not an IP address`)
    const width = widthOf(parsed.family)
    const mapped = parsed.family === 4 && address.includes(":") ? 96 : 0
    const length = prefix === undefined ? width : Number(prefix) - mapped
    if (length < 0 || length > width) {
      return yield* Either.left(`"${text}": the prefix must be ${mapped} to ${width + mapped}, not ${prefix}`)
    }
    const hostBits = BigInt(width - length)
    const range = AddressRange.make({
      family: parsed.family,
      base: (parsed.value >> hostBits) << hostBits,
      prefix: length,
      port: port === undefined ? null : Number(port)
    })
    if (range.base !== parsed.value) {
      return yield* Either.left(`"${text}" has bits set beyond its prefix; did you mean "${range}"?`)
    }
    if (range.port !== null && (range.port < 1 || range.port > 65535)) {
      return yield* Either.left(`"${text}": the port must be 1 to 65535, not ${port}`)
    }
    return range
  })

/** A range in settings. */
export const AddressRangeFromString = Schema.transformOrFail(Schema.String, Schema.typeSchema(AddressRange), {
  strict: true,
  decode: (text, _, ast) =>
    Either.mapLeft(parseRange(text.trim()), (message) => new ParseResult.Type(ast, text, message)),
  encode: (range) => ParseResult.succeed(range.toString())
}).annotations({ identifier: "AddressRangeFromString" })

const grammar = "expected cidr or cidr:port, as in 10.0.0.0/8, 127.0.0.1/32:9000, fd00::/8 or [::1/128]:8080"

const withPort = /^(?:\[([0-9a-fA-F:.]+(?:\/\d{1,3})?)\]|([0-9.]+(?:\/\d{1,2})?)):(\d{1,5})$/
const withoutPort = /^(?:\[([0-9a-fA-F:.]+(?:\/\d{1,3})?)\]|([0-9a-fA-F:.]+(?:\/\d{1,3})?))$/

const widthOf = (family: 4 | 6): number => (family === 4 ? 32 : 128)

const parseIPv4 = (text: string): bigint =>
  text.split(".").reduce((value, octet) => (value << 8n) | BigInt(Number(octet)), 0n)

const parseIPv6 = (text: string): bigint => {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  const hextets = dotted === null ? text : dotted[1] + hextetsOf(parseIPv4(dotted[2] ?? ""))
  const [head = "", tail] = hextets.split("::")
  const before = head === "" ? [] : head.split(":")
  const after = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros: Array<string> = Array.from({ length: 8 - before.length - after.length }, () => "0")
  return [...before, ...zeros, ...after].reduce((value, hextet) => (value << 16n) | BigInt(`0x${hextet}`), 0n)
}

const hextetsOf = (ipv4: bigint): string => `${(ipv4 >> 16n).toString(16)}:${(ipv4 & 0xffffn).toString(16)}`

const formatAddress = ({ base, family }: { readonly base: bigint; readonly family: 4 | 6 }): string => {
  const [count, bits] = family === 4 ? [4, 8n] : [8, 16n]
  const parts = Array.from({ length: count }, (_, i) => (base >> (BigInt(count - 1 - i) * bits)) & ((1n << bits) - 1n))
  if (family === 4) return parts.join(".")
  const groups = parts.map((part) => part.toString(16)).join(":")
  return groups.replace(/(?:^|:)0(?::0)+(?::|$)/, "::")
}
