/**
 * Which addresses a delivery may reach. By default public unicast only; the operator may close more and open exceptions.
 *
 * The order of the rules is: what the operator closed, then what the operator opened, then the special-purpose ranges.
 * So an exception opens a special-purpose range and never one that the operator closed.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { networkInterfaces } from "node:os"
import { type Address, AddressRange, parseAddress, parseRange } from "./AddressRange.ts"

export interface AddressPolicyOptions {
  /** Closed in addition to the special-purpose ranges; with a port, only that port is closed. */
  readonly disallowed: ReadonlyArray<AddressRange>
  /** Exceptions from the special-purpose ranges; with a port, only that port is opened. */
  readonly allowed: ReadonlyArray<AddressRange>
}

export type Verdict = Data.TaggedEnum<{
  Allowed: {
    /** The exception that names this very port, or this address; null for an ordinary public address. */
    readonly exception: AddressRange | null
  }
  Forbidden: {
    /** What the address is, for logs and for the owner of a URL that spells it out. */
    readonly why: string
  }
}>
export const Verdict = Data.taggedEnum<Verdict>()

export class AddressPolicy extends Context.Tag("deeper-hub-webhooks/transport/AddressPolicy")<AddressPolicy, {
  readonly check: (ip: string, port: number) => Verdict
}>() {
  static readonly layer = (options: AddressPolicyOptions): Layer.Layer<AddressPolicy> =>
    Layer.effect(this, Effect.as(logExceptions(options.allowed), make(options)))
}

export const make = ({ allowed, disallowed }: AddressPolicyOptions): Context.Tag.Service<AddressPolicy> => ({
  check: (ip, port) => {
    const address = parseAddress(ip)
    if (address === null) return Verdict.Forbidden({ why: "not an IP address" })
    const rule = (range: AddressRange): boolean =>
      (range.port === null || range.port === port) && range.includes(address)
    if (disallowed.some(rule)) return Verdict.Forbidden({ why: "closed by the operator of this service" })
    // An exception that names the port says more than one that does not: it also opens an unusual port.
    const exception = allowed.find((range) => range.port !== null && rule(range)) ?? allowed.find(rule) ?? null
    const why = exception === null ? specialPurpose(address) : null
    return why === null ? Verdict.Allowed({ exception }) : Verdict.Forbidden({ why })
  }
})

/**
 * The ranges to close so that no delivery reaches this service itself: its own address and port; where it listens on
 * loopback every loopback address; where it listens on all addresses these and what the machine's interfaces have now.
 * A name is for `UrlGuard`'s `ownHosts`.
 */
export const listeningOn = (host: string, port: number): ReadonlyArray<AddressRange> => {
  const address = parseAddress(host)
  const onLoopback = loopback.map(({ range }) => AddressRange.make({ ...range, port }))
  // A name may stand for any of them.
  if (address === null || address.value === 0n) {
    return [...onLoopback, ...interfaceAddresses().map((own) => only(own, port))]
  }
  return isLoopback(address) ? onLoopback : [only(address, port)]
}

const only = ({ family, value }: Address, port: number): AddressRange =>
  AddressRange.make({ family, base: value, prefix: family === 4 ? 32 : 128, port })

const interfaceAddresses = (): ReadonlyArray<Address> =>
  Object.values(networkInterfaces())
    .flatMap((addresses = []) => addresses.filter(({ internal }) => !internal))
    .map(({ address }) => parseAddress(address))
    .filter((address) => address !== null)

const logExceptions = (allowed: ReadonlyArray<AddressRange>) =>
  allowed.length === 0
    ? Effect.void
    : Effect.logWarning("Deliveries may reach addresses that are not public").pipe(
      Effect.annotateLogs({ ranges: allowed.join(", ") })
    )

interface Named {
  readonly range: AddressRange
  readonly why: string
}

const named = (cidr: string, why: string): Named => ({ range: Either.getOrThrow(parseRange(cidr)), why })

const loopback = [named("127.0.0.0/8", "loopback"), named("::1/128", "loopback")]
const isLoopback = (address: Address): boolean => loopback.some(({ range }) => range.includes(address))

/** IANA's IPv4 special-purpose registry, multicast, reserved, and the address on which Azure serves its hosts. */
const forbiddenIPv4 = [
  named("0.0.0.0/8", "this network"),
  named("10.0.0.0/8", "private use"),
  named("100.64.0.0/10", "shared address space"),
  named("127.0.0.0/8", "loopback"),
  named("168.63.129.16/32", "a cloud platform's own address"),
  named("169.254.0.0/16", "link local"),
  named("172.16.0.0/12", "private use"),
  named("192.0.0.0/24", "IETF protocol assignments"),
  named("192.0.2.0/24", "documentation"),
  named("192.31.196.0/24", "AS112"),
  named("192.52.193.0/24", "AMT"),
  named("192.88.99.0/24", "6to4 relay"),
  named("192.168.0.0/16", "private use"),
  named("192.175.48.0/24", "AS112"),
  named("198.18.0.0/15", "benchmarking"),
  named("198.51.100.0/24", "documentation"),
  named("203.0.113.0/24", "documentation"),
  named("224.0.0.0/4", "multicast"),
  named("240.0.0.0/4", "reserved")
]

const globalUnicastIPv6 = named("2000::/3", "global unicast")

/** The parts of 2000::/3 that are not the public Internet, or that carry an IPv4 address inside. */
const forbiddenIPv6 = [
  named("2001::/23", "IETF protocol assignments"),
  named("2001:db8::/32", "documentation"),
  named("2002::/16", "6to4"),
  named("2620:4f:8000::/48", "AS112"),
  named("3fff::/20", "documentation"),
  ...loopback
]

const specialPurpose = (address: Address): string | null => {
  const ranges = address.family === 4 ? forbiddenIPv4 : forbiddenIPv6
  const hit = ranges.find(({ range }) => range.includes(address))
  if (hit !== undefined) return hit.why
  return address.family === 4 || globalUnicastIPv6.range.includes(address) ? null : "not global unicast"
}
