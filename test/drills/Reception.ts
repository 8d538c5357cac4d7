/** The receiver's process, as a drill sees it. */
import { Config, Effect } from "effect"
import { randomBytes } from "node:crypto"
import { fileURLToPath } from "node:url"
import * as Child from "../support/Child.ts"
import * as Service from "../support/Service.ts"

/** How it treats what comes. */
export interface Manners {
  /** All webhooks of a drill have one. */
  readonly secret: string
  /** From 0 to 1: the share of deliveries that wait for their answer, each time they come. */
  readonly slowShare: number
  readonly slowMs: readonly [least: number, most: number]
  /** Of so many deliveries, one is answered 503 the first time; 0 for none. */
  readonly refuseEvery: number
}

export interface Counts {
  readonly requests: number
  readonly deliveries: number
  /** By the sending node's User-Agent. */
  readonly inflight: Readonly<Record<string, number>>
  readonly held: Readonly<Record<string, number>>
}

export interface Book {
  /** The ids of requests whose signatures were wrong. */
  readonly invalid: ReadonlyArray<string>
  /** The furthest that a signature's time was from this machine's. */
  readonly skewSeconds: number
  /** Every delivery with the epoch milliseconds at which it came. */
  readonly deliveries: ReadonlyArray<{ readonly id: string; readonly arrivals: ReadonlyArray<number> }>
}

export interface Reception {
  readonly url: string
  readonly secret: string
  readonly counts: Effect.Effect<Counts>
  readonly book: Effect.Effect<Book>
  /** From now on, requests from this node get no answer; */
  readonly hold: (node: string) => Effect.Effect<void>
  /** until now. The deliveries that were kept waiting. */
  readonly release: (node: string) => Effect.Effect<ReadonlyArray<string>>
}

const script = fileURLToPath(new URL("receiver.ts", import.meta.url))

export const make = (manners: Partial<Omit<Manners, "secret">> = {}) =>
  Effect.gen(function*() {
    const path = yield* Effect.orDie(Config.string("PATH"))
    const secret = `drill-${randomBytes(24).toString("hex")}`
    const all: Manners = { slowShare: 0.02, slowMs: [50, 1_000], refuseEvery: 0, ...manners, secret }
    const child = yield* Child.start(
      process.execPath,
      ["--import", "tsx", script, JSON.stringify(all)],
      { cwd: Service.checkout, env: { PATH: path }, answers: true }
    )
    const [, port = ""] = yield* Effect.orDie(child.said(/READY (\d+)\n/))
    const reception: Reception = {
      url: `http://127.0.0.1:${port}/`,
      secret,
      counts: Effect.map(child.ask("counts"), (counts) => counts as Counts),
      book: Effect.map(child.ask("book"), (book) => book as Book),
      hold: (node) => child.ask(`hold ${node}`),
      release: (node) => Effect.map(child.ask(`release ${node}`), (ids) => ids as ReadonlyArray<string>)
    }
    return reception
  })
