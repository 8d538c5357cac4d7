/**
 * I72: two nodes on one database, the clock of one an hour fast and that of the other an hour slow; then the other way
 * about. What is due, and whose lease has ended, the database's clock decides.
 */
import { Effect, type Scope } from "effect"
import { existsSync } from "node:fs"
import { type Drill, type Length, progress, type Report } from "./Drill.ts"
import type { Finding } from "./Finding.ts"
import * as Load from "./Load.ts"
import * as Node from "./Node.ts"
import * as Oracle from "./Oracle.ts"
import * as PostgresServer from "./PostgresServer.ts"
import * as Reception from "./Reception.ts"
import * as RoundRobin from "./RoundRobin.ts"

interface Sizes {
  readonly deliveries: number
}

const sizes: Record<Length, Sizes> = {
  full: { deliveries: 20_000 },
  short: { deliveries: 1_000 }
}

/** From Debian's package libfaketime. */
const library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"

const names = ["drill-a", "drill-b"] as const
const refuseEvery = 10
const baseSeconds = 2
/** The pause has 20 % of jitter either way, and the poll that finds it is a second late at most. */
const retrySeconds = { least: baseSeconds * 0.8 - 0.1, most: baseSeconds * 1.2 + 1 + 2 }

/** On the node's process alone: receiver, database and publisher keep the true time. */
const skewed = (hours: string) => ({
  env: {
    LD_PRELOAD: library,
    FAKETIME: hours,
    // As with a wrong clock of a machine: what measures durations is not wrong.
    FAKETIME_DONT_FAKE_MONOTONIC: "1"
  }
})

/** Seconds between one arrival and the next, of all deliveries that came more than once. */
const pausesOf = ({ deliveries }: Reception.Book): ReadonlyArray<number> =>
  deliveries.flatMap(({ arrivals }) => arrivals.slice(1).map((at, i) => (at - (arrivals[i] ?? at)) / 1_000))

const retryFindings = (pauses: ReadonlyArray<number>): ReadonlyArray<Finding> => {
  const sorted = pauses.toSorted((a, b) => a - b)
  const [least = 0, most = 0] = [sorted.at(0), sorted.at(-1)]
  return [
    { what: "deliveries tried again", found: String(pauses.length), goal: "some", met: pauses.length > 0 },
    {
      what: "pause before the next attempt, by the receiver's clock",
      found: `${least.toFixed(2)} to ${most.toFixed(2)} s`,
      goal: `${retrySeconds.least} to ${retrySeconds.most} s`,
      met: least >= retrySeconds.least && most <= retrySeconds.most
    }
  ]
}

const measure = (length: Length) =>
  Effect.gen(function*() {
    const { deliveries } = sizes[length]
    const postgres = yield* PostgresServer.make
    const reception = yield* Reception.make({ slowMs: [50, 500], refuseEvery })
    const place = yield* Node.place(postgres.url, {
      WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS: "1000",
      WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS: String(baseSeconds),
      WEBHOOKS_RETRY_POLICY_BACKOFF_FACTOR: "1"
    })
    const [fast, slow] = ["+1h", "-1h"] as const
    const nodes = yield* RoundRobin.start(place, names, (name) => skewed(name === names[0] ? fast : slow))
    yield* Load.register(nodes.any.api, reception)
    const load = yield* Load.make({ target: nodes.next })
    // One after the other, so that what waits to be tried again always has a node.
    const exchange = (name: string) =>
      Effect.zipLeft(Node.stop(nodes.get(name)), nodes.restart(name, skewed(name === names[0] ? slow : fast)))

    yield* load.publish(deliveries / 2)
    yield* progress(`${load.promised.size} promised; the clocks change places, with retries waiting`)
    const stopped = yield* Effect.forEach(names, exchange)
    yield* load.publish(deliveries / 2)
    yield* Oracle.settle(postgres.url, load, reception, "3 minutes")

    const verdict = yield* Oracle.judge(postgres.url, load, reception)
    const { book, findings, tally } = verdict
    const report: Report = {
      findings: [
        ...findings,
        Oracle.allAccounted(verdict),
        Oracle.noDuplicates(tally),
        ...retryFindings(pausesOf(book)),
        { what: "a signature's time was off by, at most", found: `${book.skewSeconds} s` },
        ...yield* Effect.forEach(nodes.all(), Node.actorsUnhurt),
        ...stopped,
        ...yield* Effect.forEach(nodes.all(), Node.stop)
      ],
      summary: tally
    }
    return report
  })

const missing: Report = {
  findings: [{
    what: `not done: there is no ${library}`,
    found: "install it with `apt-get install libfaketime`"
  }]
}

export const drill: Drill<Scope.Scope> = {
  name: "clock",
  goal: "nodes whose clocks are an hour off lose nothing, repeat nothing, and retry when it is time",
  run: (length) => existsSync(library) ? measure(length) : Effect.succeed(missing)
}
