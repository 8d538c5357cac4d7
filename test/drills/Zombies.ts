/**
 * G60: one of two nodes sleeps through its leases (SIGSTOP) and wakes with answers in hand whose deliveries the other
 * node has meanwhile sent again. Nothing of what it then writes may be accepted.
 */
import { Duration, Effect, Schema, type Scope } from "effect"
import { eventually } from "../support/Eventually.ts"
import type { Running } from "../support/Service.ts"
import { type Drill, type Length, progress, type Report } from "./Drill.ts"
import * as Load from "./Load.ts"
import * as Node from "./Node.ts"
import * as Oracle from "./Oracle.ts"
import * as PostgresServer from "./PostgresServer.ts"
import * as Reception from "./Reception.ts"
import * as RoundRobin from "./RoundRobin.ts"
import * as Sql from "./Sql.ts"

interface Sizes {
  readonly sleeps: number
  readonly perSecond: number
}

const sizes: Record<Length, Sizes> = {
  full: { sleeps: 20, perSecond: 200 },
  short: { sleeps: 1, perSecond: 60 }
}

const leaseSeconds = 6
/** Attempts that a sleeper has under way at least. */
const heldMin = 3

const notDelivered =
  "SELECT count(*)::int AS value FROM deliveries WHERE id = ANY ($1::uuid[]) AND status <> 'delivered'"
const leased = "SELECT count(*)::int AS value FROM deliveries WHERE id = ANY ($1::uuid[]) AND lease_token IS NOT NULL"

/**
 * Stops the node in the middle of attempts. Their answers are given as soon as it sleeps, so that it finds them when it
 * wakes. Answers the UUIDs of their deliveries.
 */
const putToSleep = (url: string, reception: Reception.Reception, name: string, node: Running) =>
  Effect.gen(function*() {
    yield* reception.hold(name)
    yield* eventually(reception.counts, ({ held }) => (held[name] ?? 0) >= heldMin)
    yield* node.signal("SIGSTOP")
    const ids = Array.from(yield* reception.release(name), Oracle.uuidOf)
    const underWay = yield* Sql.value(url, Schema.Int, leased, [ids])
    if (underWay === 0) yield* node.signal("SIGCONT")
    return { ids, underWay }
  }).pipe(
    // On a machine that stalls they may have timed out before it slept: then once more.
    Effect.repeat({ until: ({ underWay }) => underWay > 0 }),
    Effect.orDie
  )

/** Answers how long it took until the other node had delivered what the sleeper had under way. */
const sleepThrough = (url: string, reception: Reception.Reception, name: string, node: Running) =>
  Effect.gen(function*() {
    const { ids, underWay } = yield* putToSleep(url, reception, name, node)
    const takenOver = eventually(Sql.value(url, Schema.Int, notDelivered, [ids]), (count) => count === 0)
    const sleep = Effect.sleep(`${2 * leaseSeconds} seconds`)
    const [[took]] = yield* Effect.zip(Effect.timed(takenOver), sleep, { concurrent: true })
    yield* node.signal("SIGCONT")
    yield* eventually(node.api.send("GET", "/healthz"), ({ status }) => status === 200)
    return { underWay, seconds: Duration.toSeconds(took) }
  }).pipe(Effect.orDie)

/** What the nodes say of outcomes that the database did not take. */
const refusalsIn = (text: string): number => text.match(/outcomes refused/g)?.length ?? 0

const run = (length: Length) =>
  Effect.gen(function*() {
    const { perSecond, sleeps } = sizes[length]
    const postgres = yield* PostgresServer.make
    const reception = yield* Reception.make({ slowMs: [50, 500] })
    const place = yield* Node.place(postgres.url, {
      LOG_LEVEL: "Warn",
      WEBHOOKS_DISPATCHER_LEASE_SECONDS: String(leaseSeconds)
    })
    const nodes = yield* RoundRobin.start(place, ["drill-a", "drill-b"])
    yield* Load.register(nodes.any.api, reception)
    const load = yield* Load.make({ target: nodes.next, patience: "2 seconds" })

    let worstSeconds = 0
    let sleeping = 0
    for (let turn = 1; turn <= sleeps; turn++) {
      const name = turn % 2 === 0 ? "drill-a" : "drill-b"
      const sleep = sleepThrough(postgres.url, reception, name, nodes.get(name))
      // It wakes to work that goes on.
      const { seconds, underWay } = yield* load.publishWhile(perSecond, Effect.zipLeft(sleep, Effect.sleep("1 second")))
      yield* Oracle.settle(postgres.url, load, reception, "3 minutes")
      worstSeconds = Math.max(worstSeconds, seconds)
      sleeping += underWay
      yield* progress(
        `sleep ${turn}/${sleeps} of ${name}: ${underWay} attempts under way, taken over in ${seconds.toFixed(1)} s; ` +
          `${load.promised.size} promised`
      )
    }

    const verdict = yield* Oracle.judge(postgres.url, load, reception)
    const { findings, tally } = verdict
    const unhurt = yield* Effect.forEach(nodes.all(), Node.actorsUnhurt)
    const stopped = yield* Effect.forEach(nodes.all(), Node.stop)
    const words = yield* Effect.forEach(nodes.all(), ({ heard }) => heard)
    const refusals = words.reduce((sum, text) => sum + refusalsIn(text), 0)
    const report: Report = {
      findings: [
        ...findings,
        Oracle.allAccounted(verdict),
        Oracle.duplicates(tally),
        { what: "sleeps of two leases", found: String(sleeps) },
        { what: "attempts under way in a node that slept", found: String(sleeping) },
        { what: "batches of late outcomes refused", found: String(refusals), goal: "at least 1", met: refusals > 0 },
        { what: "slowest to be taken over", found: `${worstSeconds.toFixed(1)} s` },
        ...unhurt,
        ...stopped
      ],
      summary: { ...tally, recovery: { of: "until another node had sent it", worstSeconds } }
    }
    return report
  }).pipe(Effect.orDie)

export const drill: Drill<Scope.Scope> = {
  name: "zombies",
  goal: "a node that slept through its leases overwrites nothing when it wakes, and nothing is lost",
  run
}
