/**
 * The whole service under watch: somebody listens on every address of this machine, and every connection that the
 * process begins is on record. Nothing else is dialled once the service runs, except its database and its own API.
 */
import { Context, Effect, Layer } from "effect"
import { networkInterfaces } from "node:os"
import { assert } from "vitest"
import * as ApiTest from "./ApiTest.ts"
import * as ConnectionAttempts from "./ConnectionAttempts.ts"
import * as DnsServer from "./DnsServer.ts"
import * as PgTest from "./PgTest.ts"
import * as ScriptedReceiver from "./ScriptedReceiver.ts"

export class Watch extends Context.Tag("deeper-hub-webhooks/test/support/WatchedService/Watch")<Watch, {
  /** Where somebody listens, on every address. */
  readonly port: number
  /** The addresses at which they were reached, each connection once. */
  readonly reached: () => ReadonlyArray<string>
  /** What was dialled for webhooks, `address port`. */
  readonly dialled: () => ReadonlyArray<string>
  readonly dns: DnsServer.DnsServer
}>() {}

const interfaceAddresses = Object.values(networkInterfaces()).flatMap((addresses = []) =>
  addresses.filter(({ internal, scopeid = 0 }) => !internal && scopeid === 0).map(({ address }) => address)
)

/** Loopback from end to end, and what the interfaces have. */
export const ownAddresses: ReadonlyArray<string> = ["127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "::1"]
  .concat(interfaceAddresses)

const answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

/** On `::`, which takes IPv4 as well. */
const listenEverywhere = Effect.gen(function*() {
  const reached: Array<string> = []
  const port = yield* ScriptedReceiver.raw((socket) => {
    reached.push((socket.localAddress ?? "").replace(/^::ffff:/, ""))
    socket.once("data", () => socket.end(answer))
  }, "::")
  return { port, reached }
})

export interface WatchedOptions {
  readonly zone?: Parameters<typeof DnsServer.make>[0]
  /** Exceptions from the policy, of which production has none. */
  readonly allowed?: string
}

const watch = ({ allowed = "", zone = {} }: WatchedOptions) =>
  Layer.unwrapScoped(Effect.gen(function*() {
    const { attempted } = yield* ConnectionAttempts.record
    const { port, reached } = yield* listenEverywhere
    const dns = yield* DnsServer.make(zone)
    const service = ApiTest.make({
      databaseUrl: PgTest.url,
      settings: {
        WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL: allowed,
        WEBHOOKS_DNS_SERVERS: dns.nameserver,
        // The name server shares this process: questions of many attempts at once would wait past their time.
        WEBHOOKS_DISPATCHER_CONCURRENCY: "16",
        // Of what is blocked the five minutes are to show, not the backoff.
        WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS: "0.1",
        WEBHOOKS_RETRY_POLICY_MAX_DELAY_SECONDS: "0.1"
      }
    })
    // The tests' clients are made when the service runs, and no webhook is there yet.
    const watching = Layer.effect(
      Watch,
      Effect.map(ApiTest.ApiTest, ({ port: own }) => {
        const ours = new Set([...attempted, `127.0.0.1 ${own}`])
        return {
          port,
          reached: () => [...reached],
          dialled: () => attempted.filter((attempt) => !ours.has(attempt)),
          dns
        }
      })
    )
    return Layer.provideMerge(watching, service)
  }))

export const layer = (options: WatchedOptions = {}) => Layer.provideMerge(watch(options), PgTest.layer)

/** That no listener was reached and nothing was dialled, since the service runs. */
export const nothingDialled = Effect.map(Watch, ({ dialled, reached }) => {
  assert.deepStrictEqual({ dialled: dialled(), reached: reached() }, { dialled: [], reached: [] })
})
