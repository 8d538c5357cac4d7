/** G56–G59: the service's process is killed (SIGKILL) again and again in the middle of its work. */
import { Clock, Effect, Ref, Schema, type Scope } from "effect"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import * as Service from "../support/Service.ts"
import { type Drill, type Length, progress, type Report } from "./Drill.ts"
import * as Finding from "./Finding.ts"
import * as Load from "./Load.ts"
import * as Oracle from "./Oracle.ts"
import * as Reception from "./Reception.ts"
import * as Sql from "./Sql.ts"

interface Sizes {
  readonly kills: number
  readonly deliveriesPerKill: number
  readonly env: Readonly<Record<string, string>>
  readonly recoverySecondsMax: number
}

const sizes: Record<Length, Sizes> = {
  // Everything as the service has it by default: the lease decides how long what was under way has to wait.
  full: {
    kills: 50,
    deliveriesPerKill: 2_000,
    env: { WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS: "1000" },
    recoverySecondsMax: 45
  },
  // Its bound ends what hangs, and does not measure a machine that is busy with other things.
  short: {
    kills: 5,
    deliveriesPerKill: 400,
    env: { WEBHOOKS_DISPATCHER_LEASE_SECONDS: "6" },
    recoverySecondsMax: 180
  }
}

const patience = "3 minutes"

/** The state of things when a node had just been killed. */
interface Kill {
  readonly at: number
  /** UUIDs of what the node was at work on, */
  readonly inflight: ReadonlyArray<string>
  /** and of what was due and nobody had begun. */
  readonly due: ReadonlyArray<string>
}

const Open = Schema.Struct({ id: Schema.String, isLeased: Schema.Boolean })

const openNow = `
  SELECT id::text, lease_token IS NOT NULL AS "isLeased" FROM deliveries
  WHERE lease_token IS NOT NULL OR next_retry_at <= now()`

const kill = (node: Service.Running, url: string): Effect.Effect<Kill> =>
  Effect.gen(function*() {
    const at = yield* Clock.currentTimeMillis
    yield* node.kill("SIGKILL")
    // Postgres outlives the service, and the next one takes it over.
    const open = yield* Effect.orDie(Sql.rows(url, Open, openNow))
    const ids = (isLeased: boolean) => open.filter((one) => one.isLeased === isLeased).map(({ id }) => id)
    return { at, inflight: ids(true), due: ids(false) }
  })

/** Seconds from the kill until all that it hit had been delivered. */
const recoveryOf = (url: string, { at, due, inflight }: Kill) =>
  Effect.map(
    Effect.orDie(Sql.value(
      url,
      Schema.NullOr(Schema.Number),
      "SELECT (extract(epoch FROM max(delivered_at)) * 1000)::float8 AS value FROM deliveries WHERE id = ANY ($1::uuid[])",
      [[...inflight, ...due]]
    )),
    (last) => last === null ? 0 : Math.max(0, (last - at) / 1_000)
  )

/** How often each delivery was under way when its node was killed: so often may it have come twice. */
const hitsOf = (kills: ReadonlyArray<Kill>): ReadonlyMap<string, number> => {
  const hits = new Map<string, number>()
  for (const { inflight } of kills) for (const id of inflight) hits.set(id, (hits.get(id) ?? 0) + 1)
  return hits
}

const run = (length: Length) =>
  Effect.gen(function*() {
    const { deliveriesPerKill, env, kills: times, recoverySecondsMax } = sizes[length]
    const dataDirectory = yield* EmbeddedService.directory()
    const reception = yield* Reception.make({ slowMs: [50, 500] })
    const serve = Effect.orDie(Service.serve({ dataDirectory, env: { LOG_LEVEL: "Error", ...env } }))
    const node = yield* Ref.make(yield* serve)
    yield* Load.register((yield* node).api, reception)
    const load = yield* Load.make({ target: Ref.get(node) })

    const kills: Array<Kill> = []
    let worstSeconds = 0
    for (let turn = 1; turn <= times; turn++) {
      const url = Service.embeddedUrl(dataDirectory)
      const struck = yield* load.publishUnder(
        deliveriesPerKill,
        Effect.tap(kill(yield* node, url), () => Effect.flatMap(serve, (next) => Ref.set(node, next)))
      )
      // What is still open at the end is the oracle's to tell.
      yield* Oracle.settle(url, load, reception, patience)
      const seconds = yield* recoveryOf(url, struck)
      kills.push(struck)
      worstSeconds = Math.max(worstSeconds, seconds)
      yield* progress(
        `kill ${turn}/${times}: ${struck.inflight.length} in flight, ${struck.due.length} due; ` +
          `recovered in ${seconds.toFixed(1)} s; ${load.promised.size} promised`
      )
    }

    const verdict = yield* Oracle.judge(Service.embeddedUrl(dataDirectory), load, reception)
    const { findings, repeated, tally } = verdict
    const exit = yield* (yield* node).kill("SIGTERM")
    const hits = hitsOf(kills)
    const inflight = kills.reduce((sum, one) => sum + one.inflight.length, 0)
    const inexcusable = [...repeated].filter(([id, more]) => more > (hits.get(id) ?? 0))
    const report: Report = {
      findings: [
        ...findings,
        Oracle.allAccounted(verdict),
        { what: "kills", found: String(times) },
        {
          what: "duplicates",
          found: String(tally.duplicates),
          goal: `at most the ${inflight} in flight at the kills`,
          met: tally.duplicates <= inflight
        },
        Finding.none("duplicates of what was not in flight at a kill", inexcusable.length),
        Finding.atMost("slowest recovery from a kill", worstSeconds, recoverySecondsMax),
        { what: "requests that the publisher repeated", found: String(yield* load.unanswered) },
        { what: "exit code at the end", found: String(exit.code), goal: "0", met: exit.code === 0 }
      ],
      summary: { ...tally, recovery: { of: "from a kill", worstSeconds } }
    }
    return report
  })

export const drill: Drill<Scope.Scope> = {
  name: "kill-node",
  goal: "a node killed under load loses nothing, repeats only what it had in flight, and all is delivered soon after",
  run
}
