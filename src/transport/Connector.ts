/**
 * Opens the socket of a delivery so that policy decides about the address that is dialled, not about a name that may
 * mean something else a moment later: resolve, check every address, dial a checked one, check the peer again.
 *
 * It is no `lookup` hook, because those are skipped for IP literals.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Layer from "effect/Layer"
import { connect as connectTcp, isIP, type Socket } from "node:net"
import { performance } from "node:perf_hooks"
import { connect as connectTls } from "node:tls"
import { AddressPolicy, Verdict } from "./AddressPolicy.ts"
import { type DnsFailure, Resolver } from "./Resolver.ts"
import { after } from "./Timer.ts"

export interface Target {
  /** Without the brackets of an IPv6 literal. */
  readonly hostname: string
  readonly port: number
  readonly secure: boolean
}

export type Phase = "dns" | "connect" | "tls"

/** How far a dial has come, for whoever runs out of patience with it. */
export interface Progress {
  phase: Phase
  /** The socket that was made last: whoever gives up on the dial destroys it. */
  socket: Socket | null
}

export class AddressBlocked extends Data.TaggedError("AddressBlocked")<{
  /** The URL spells the address out, so no later answer of the DNS will mend it. */
  readonly literal: boolean
  readonly why: string
}> {}

export class DialTimeout extends Data.TaggedError("DialTimeout")<{ readonly phase: Phase }> {}

export class SocketFailure extends Data.TaggedError("SocketFailure")<{
  readonly phase: Phase
  readonly reason: string
}> {}

export type DialFailure = DnsFailure | AddressBlocked | DialTimeout | SocketFailure

export interface ConnectorOptions {
  /** Certificate authorities to trust instead of Node's own, in PEM. */
  readonly ca?: ReadonlyArray<string> | undefined
}

/** Of a name's addresses, how many are dialled before the attempt counts as failed. */
const dialsMax = 3

export class Connector extends Context.Tag("deeper-hub-webhooks/transport/Connector")<Connector, {
  /** One budget covers the DNS, every dial and the TLS handshake. Interruption destroys what is half open. */
  readonly dial: (target: Target, budgetMs: number, progress: Progress) => Effect.Effect<Socket, DialFailure>
}>() {
  static readonly layer = (options: ConnectorOptions = {}): Layer.Layer<Connector, never, AddressPolicy | Resolver> =>
    Layer.effect(
      this,
      Effect.gen(function*() {
        const policy = yield* AddressPolicy
        const resolver = yield* Resolver

        const permitted = (target: Target) =>
          Effect.flatMap(addressesOf(resolver, target.hostname), (addresses) => permit(policy, target, addresses))

        const dial = (target: Target, budgetMs: number, progress: Progress) =>
          withinBudget(budgetMs, progress, (endsAt) =>
            Effect.flatMap(permitted(target), (addresses) => {
              const [first, ...others] = addresses.slice(0, dialsMax)
              return first === undefined
                ? Effect.fail(new AddressBlocked({ literal: false, why: "no address left" }))
                : dialFirst({ policy, options, target, progress, endsAt }, first, others)
            }))

        return Connector.of({ dial })
      })
    )
}

const isLocalhost = (hostname: string): boolean => hostname === "localhost"

const addressesOf = (resolver: Context.Tag.Service<Resolver>, hostname: string) => {
  if (isIP(hostname) !== 0) return Effect.succeed([hostname])
  // c-ares does not read /etc/hosts, and RFC 6761 says that this name is never asked of the DNS.
  if (isLocalhost(hostname)) return Effect.succeed(["127.0.0.1", "::1"])
  return resolver.resolve(hostname)
}

/** All or nothing: one forbidden address among a name's says that the name is not what it seems. */
const permit = (
  policy: Context.Tag.Service<AddressPolicy>,
  { hostname, port }: Target,
  addresses: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, AddressBlocked> => {
  const forbidden = addresses.map((ip) => policy.check(ip, port)).find(Verdict.$is("Forbidden"))
  const allowed = addresses.filter((ip) => Verdict.$is("Allowed")(policy.check(ip, port)))
  // Except for localhost, whose two addresses are ours and not an answer: an exception may well name only one.
  return forbidden === undefined || (allowed.length > 0 && isLocalhost(hostname))
    ? Effect.succeed(allowed)
    : Effect.fail(new AddressBlocked({ literal: isIP(hostname) !== 0, why: forbidden.why }))
}

interface Dial {
  readonly policy: Context.Tag.Service<AddressPolicy>
  readonly options: ConnectorOptions
  readonly target: Target
  readonly progress: Progress
  readonly endsAt: number
}

/** Each address gets an even share of the time that is left, so a dead one does not use up the living one's. */
const dialFirst = (
  dial: Dial,
  ip: string,
  others: ReadonlyArray<string>
): Effect.Effect<Socket, DialFailure> => {
  const [next, ...rest] = others
  if (next === undefined) return open(dial, ip, null)
  const shareMs = Math.ceil((dial.endsAt - performance.now()) / (1 + others.length))
  return Effect.catchAll(open(dial, ip, shareMs), (failure) =>
    isWorthAnother(failure)
      // The first failure is the one to tell: later addresses are often of a family that this machine cannot route.
      ? Effect.mapError(dialFirst(dial, next, rest), (last) => isWorthAnother(last) ? failure : last)
      : Effect.fail(failure))
}

/** A certificate is as bad on the next address, and a forbidden peer ends the attempt. */
const isWorthAnother = (failure: DialFailure): boolean =>
  failure instanceof DialTimeout || (failure instanceof SocketFailure && failure.phase === "connect")

const open = (
  { options, policy, progress, target }: Dial,
  ip: string,
  shareMs: number | null
): Effect.Effect<Socket, DialFailure> =>
  Effect.async((resume) => {
    progress.phase = "connect"
    const tcp = { host: ip, port: target.port, autoSelectFamily: false, noDelay: true, keepAlive: true }
    const servername = isIP(target.hostname) === 0 ? { servername: target.hostname } : {}
    const ca = options.ca === undefined ? {} : { ca: [...options.ca] }
    const socket = target.secure
      ? connectTls({ ...tcp, ...servername, ...ca, ALPNProtocols: ["http/1.1"] })
      : connectTcp(tcp)
    progress.socket = socket
    const fail = (failure: DialFailure) => {
      cancel()
      socket.destroy()
      resume(Effect.fail(failure))
    }
    const cancel = shareMs === null
      ? constVoid
      : after(shareMs, () => fail(new DialTimeout({ phase: progress.phase })))
    // It stays for the socket's life: between here and undici's own listener an error must not crash the process.
    socket.on("error", (error: NodeJS.ErrnoException) =>
      fail(new SocketFailure({ phase: progress.phase, reason: error.code ?? error.message })))
    // Before Node's own listener, which sends the first bytes of TLS: a forbidden peer gets none.
    socket.prependOnceListener("connect", () => {
      progress.phase = target.secure ? "tls" : "connect"
      // A socket without a peer was reset in the moment since it was connected.
      if (socket.remoteAddress === undefined) {
        return fail(new SocketFailure({ phase: "connect", reason: "ECONNRESET" }))
      }
      const verdict = policy.check(socket.remoteAddress, target.port)
      if (Verdict.$is("Forbidden")(verdict)) {
        fail(new AddressBlocked({ literal: false, why: verdict.why }))
      }
    })
    socket.once(target.secure ? "secureConnect" : "connect", () => {
      cancel()
      resume(Effect.succeed(socket))
    })
    return Effect.sync(() => {
      cancel()
      socket.destroy()
    })
  })

const withinBudget = <A>(
  budgetMs: number,
  progress: Progress,
  effect: (endsAt: number) => Effect.Effect<A, DialFailure>
): Effect.Effect<A, DialFailure> =>
  Effect.raceFirst(
    Effect.suspend(() => effect(performance.now() + budgetMs)),
    Effect.async<never, DialTimeout>((resume) => {
      return Effect.sync(after(budgetMs, () => resume(Effect.fail(new DialTimeout({ phase: progress.phase })))))
    })
  )
