/**
 * Host names to addresses, by c-ares: it asks the name servers itself, so a name that hangs costs no thread of libuv's
 * pool, and neither /etc/hosts nor search domains lead a tenant's name into this machine's network.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as dns from "node:dns"
import { isIP } from "node:net"
import { after } from "./Timer.ts"

export class DnsFailure extends Data.TaggedError("DnsFailure")<{
  readonly class: "dns_not_found" | "dns_timeout"
  readonly reason: string
}> {}

export interface ResolverOptions {
  /** As `dns.setServers` takes them; the system's where absent. */
  readonly nameservers?: ReadonlyArray<string> | undefined
  /** How long the first try of a question waits; c-ares doubles it for the second. */
  readonly tryTimeoutMs?: number | undefined
}

const nameServer = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::(\d{1,5}))?|([0-9a-fA-F:.]+))$/

/** A name server in settings. */
export const NameServer = Schema.String.pipe(
  Schema.filter((text) => {
    const [, bracketed, dotted, port, bare] = nameServer.exec(text) ?? []
    const isPort = port === undefined || (Number(port) >= 1 && Number(port) <= 65_535)
    return isIP(bracketed ?? dotted ?? bare ?? "") !== 0 && isPort
      ? true
      : `"${text}" is not a name server: expected ip or ip:port, as in 9.9.9.9, 10.0.0.2:5353 or [2620:fe::fe]:53`
  }),
  Schema.annotations({ identifier: "NameServer" })
)

/** A name may list hundreds of addresses; every one considered is one that policy has to allow. */
export const addressesMax = 16

/** Once one family has answered, how long the other may still take. */
const otherFamilyGraceMs = 250

export class Resolver extends Context.Tag("deeper-hub-webhooks/transport/Resolver")<Resolver, {
  /** IPv4 first, then IPv6: never empty, at most `addressesMax`. */
  readonly resolve: (host: string) => Effect.Effect<ReadonlyArray<string>, DnsFailure>
}>() {
  static readonly layer = (options: ResolverOptions = {}): Layer.Layer<Resolver> =>
    Layer.scoped(
      this,
      Effect.gen(function*() {
        const cares = yield* Effect.acquireRelease(
          Effect.sync(() => new dns.Resolver({ timeout: options.tryTimeoutMs ?? 1_000, tries: 2 })),
          (resolver) => Effect.sync(() => resolver.cancel())
        )
        if (options.nameservers !== undefined) cares.setServers(options.nameservers)
        return Resolver.of({ resolve: (host) => resolveBoth(cares, host) })
      })
    )
}

type Answer = ReadonlyArray<string> | DnsFailure

const resolveBoth = (cares: dns.Resolver, host: string): Effect.Effect<ReadonlyArray<string>, DnsFailure> =>
  Effect.async((resume) => {
    let ipv4: Answer | null = null
    let ipv6: Answer | null = null
    let cancelGrace: () => void = constVoid
    const finish = () => {
      cancelGrace()
      const answers = [ipv4, ipv6].filter((answer) => answer !== null)
      const addresses = answers.filter(isAddresses).flat()
      resume(addresses.length > 0 ? Effect.succeed(addresses.slice(0, addressesMax)) : worst(answers))
    }
    const next = () => {
      if (ipv4 !== null && ipv6 !== null) return finish()
      if (isAddresses(ipv4 ?? ipv6)) cancelGrace = after(otherFamilyGraceMs, finish)
    }
    cares.resolve4(host, (error, addresses) => {
      ipv4 = error === null ? addresses : toFailure(error)
      next()
    })
    cares.resolve6(host, (error, addresses) => {
      ipv6 = error === null ? addresses : toFailure(error)
      next()
    })
    // The questions themselves go on until c-ares gives them up: it can cancel only all of a resolver's at once.
    return Effect.sync(() => cancelGrace())
  })

const isAddresses = (answer: Answer | null): answer is ReadonlyArray<string> =>
  Array.isArray(answer) && answer.length > 0

/** That a name does not exist is only known when both questions were answered. */
const worst = (answers: ReadonlyArray<Answer>): DnsFailure => {
  const failures = answers.filter((answer) => answer instanceof DnsFailure)
  return failures.find((failure) => failure.class === "dns_timeout") ??
    failures[0] ??
    new DnsFailure({ class: "dns_not_found", reason: dns.NODATA })
}

const notFound = new Set<string>([dns.NOTFOUND, dns.NODATA, dns.BADNAME])

const toFailure = (error: NodeJS.ErrnoException): DnsFailure => {
  const code = error.code ?? dns.SERVFAIL
  return new DnsFailure({ class: notFound.has(code) ? "dns_not_found" : "dns_timeout", reason: code })
}
