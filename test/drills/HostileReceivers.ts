/**
 * 500 hostile receivers of every kind (FAULTS B to F, J76) beside one healthy webhook. In turns the healthy webhook is
 * alone and beside them, so that its own latency in this run, on this machine, is what it is held against. The latencies
 * of a first round are not counted: in it the runtime compiles, and Postgres plans, what neither has done before.
 */
import { Config, Effect, Fiber, Random, Ref, Schedule, type Scope } from "effect"
import { fileURLToPath } from "node:url"
import type { ApiClient } from "../support/ApiClient.ts"
import * as Child from "../support/Child.ts"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import { eventually } from "../support/Eventually.ts"
import type { HostileReceiver, Sightings } from "../support/HostileReceivers.ts"
import * as Service from "../support/Service.ts"
import { type Drill, type Length, progress } from "./Drill.ts"
import type { Finding } from "./Finding.ts"
import * as HealthyWebhook from "./HealthyWebhook.ts"
import * as HostileEvents from "./HostileEvents.ts"
import type { Vitals } from "./probe.ts"

/** Of 25 kinds: 500. */
const ofEachKind = 20
const rounds: Record<Length, number> = { full: 3, short: 1 }
const aloneSeconds = 24
const besideSeconds = 24

const pathOf = (file: string) => fileURLToPath(new URL(file, import.meta.url))

interface Zoo {
  readonly nameserver: string
  readonly receivers: ReadonlyArray<HostileReceiver>
}

/** A webhook of each receiver; those of one kind have one timeout, which the seed chooses. */
const registerAll = (api: ApiClient, receivers: ReadonlyArray<HostileReceiver>) =>
  Effect.gen(function*() {
    const timeouts = new Map<string, number>()
    for (const { kind } of receivers) {
      if (!timeouts.has(kind)) timeouts.set(kind, yield* Random.nextIntBetween(8_000, 12_001))
    }
    yield* Effect.forEach(yield* Random.shuffle(receivers), ({ kind, url }, i) =>
      api.register({
        name: kind,
        url,
        events: [HostileEvents.typeFor(i)],
        timeout_ms: timeouts.get(kind),
        retry_count: 2
      }), { concurrency: 4, discard: true }).pipe(Effect.orDie)
    return timeouts
  })

const classesOf = (url: string) =>
  EmbeddedService.query(
    url,
    `SELECT w.name AS kind, a.error_class, count(*)::int AS attempts, max(a.duration_ms - w.timeout_ms)::int AS late
     FROM attempts a JOIN deliveries d ON d.id = a.delivery_id JOIN webhooks w ON w.id = d.webhook_id
     WHERE w.name <> 'healthy' GROUP BY 1, 2 ORDER BY 1, 2`
  )

/** Deliveries in hand: under way, or about to be. What waits for a circuit or a later attempt takes nothing from anybody. */
const countLeased = (url: string) =>
  Effect.map(
    EmbeddedService.query(url, "SELECT count(*)::int AS n FROM deliveries WHERE lease_token IS NOT NULL"),
    ([row]) => Number(row?.["n"])
  )

/** Off, nothing is sent to them; on again they begin anew, and no circuit keeps a round from them. */
const switchHostile = (api: ApiClient, url: string, isActive: boolean) =>
  Effect.gen(function*() {
    const rows = yield* EmbeddedService.query(
      url,
      "SELECT typeid('whk', id) AS id FROM webhooks WHERE name <> 'healthy'"
    )
    yield* Effect.forEach(
      rows,
      ({ id }) => api.send("PATCH", `/api/webhooks/${String(id)}`, { is_active: isActive }),
      { concurrency: 8, discard: true }
    )
  }).pipe(Effect.orDie)

/**
 * Looks every few seconds, until it is interrupted, for the most that there are. Not at `/metrics`: with so many webhooks
 * that answer is a megabyte.
 */
const watchLeased = (url: string, most: Ref.Ref<number>) =>
  Effect.flatMap(countLeased(url), (leased) => Ref.update(most, (before) => Math.max(before, leased))).pipe(
    Effect.orDie,
    Effect.repeat(Schedule.spaced("3 seconds"))
  )

const startZoo = Effect.gen(function*() {
  const path = yield* Effect.orDie(Config.string("PATH"))
  const child = yield* Child.start(
    process.execPath,
    ["--import", "tsx", pathOf("zoo.ts"), String(ofEachKind)],
    { cwd: Service.checkout, env: { PATH: path }, answers: true }
  )
  yield* Effect.orDie(child.said(/READY/))
  const zoo = (yield* child.ask("receivers")) as Zoo
  return {
    ...zoo,
    sightings: Effect.map(child.ask("sightings"), (seen) => seen as Sightings),
    /** Publishes to them until it is interrupted: without anybody hostile there is nothing to be beside of. */
    publish: ({ base, key }: Pick<Service.Running, "base" | "key">): Effect.Effect<never> =>
      child.ask(`publish ${base} ${key}`).pipe(
        Effect.zipRight(child.exit),
        Effect.flatMap(({ output }) => Effect.dieMessage(`the hostile receivers ended: ${output}`)),
        Effect.onInterrupt(() => child.ask("rest"))
      )
  }
})

const startService = (nameserver: string) =>
  Effect.gen(function*() {
    const dataDirectory = yield* EmbeddedService.directory()
    const service = yield* Service.serve({
      dataDirectory,
      preload: pathOf("probe.ts"),
      env: {
        LOG_LEVEL: "Error",
        WEBHOOKS_DNS_SERVERS: nameserver,
        WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS: "1000",
        WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS: "1",
        WEBHOOKS_RETRY_POLICY_MAX_DELAY_SECONDS: "1"
      }
    }).pipe(Effect.orDie)
    return {
      service,
      url: Service.embeddedUrl(dataDirectory),
      vitals: Effect.map(service.ask("vitals"), (vitals) => vitals as Vitals)
    }
  })

/** One line for each kind: what its attempts ended as, and how much later than their time. */
const kindFindings = (
  rows: ReadonlyArray<Record<string, unknown>>,
  receivers: ReadonlyArray<HostileReceiver>
): ReadonlyArray<Finding> => {
  const expected = new Map(receivers.map(({ errorClass, kind }) => [kind, errorClass]))
  return Array.from(expected, ([kind, wanted]) => {
    const found = rows.filter((row) => row["kind"] === kind)
    return {
      what: `  ${kind}`,
      found: found.map((row) => `${String(row["attempts"])} × ${String(row["error_class"] ?? "success")}`).join(", "),
      goal: wanted ?? "success",
      met: found.length === 1 && found[0]?.["error_class"] === wanted
    }
  })
}

const ms = (value: number): string => `${Math.round(value * 10) / 10} ms`

const run = Effect.fnUntraced(function*(length: Length) {
  const { nameserver, publish, receivers, sightings } = yield* startZoo
  const { service, url, vitals } = yield* startService(nameserver)
  const { api } = service
  const timeouts = yield* registerAll(api, receivers)
  const calmDown = Effect.zipRight(
    switchHostile(api, url, false),
    Effect.orDie(eventually(countLeased(url), (leased) => leased === 0, "2 minutes"))
  )
  const healthy = yield* HealthyWebhook.make(api)
  yield* progress(`${receivers.length} hostile receivers registered; warming up with a round that is not counted`)
  yield* healthy.measure(aloneSeconds)
  const warmingUp = yield* Effect.fork(publish(service))
  yield* Effect.raceFirst(healthy.measure(HostileEvents.everySeconds + besideSeconds), Fiber.join(warmingUp))
  yield* Fiber.interrupt(warmingUp)
  yield* calmDown

  const alone: Array<number> = []
  const beside: Array<number> = []
  const loops: Array<Vitals> = []
  const mostLeased = yield* Ref.make(0)
  const before = yield* vitals
  const measureAlone = Effect.map(healthy.measure(aloneSeconds), (found) => alone.push(...found))
  for (let round = 1; round <= rounds[length]; round++) {
    yield* measureAlone
    yield* vitals
    yield* switchHostile(api, url, true)
    const hostile = yield* Effect.fork(publish(service))
    const watching = yield* Effect.fork(watchLeased(url, mostLeased))
    // Until as many wait as will.
    yield* Effect.sleep(`${HostileEvents.everySeconds} seconds`)
    const found = yield* Effect.raceFirst(healthy.measure(besideSeconds), Fiber.join(hostile))
    beside.push(...found)
    loops.push(yield* vitals)
    yield* Fiber.interruptAll([hostile, watching])
    yield* progress(
      `round ${round}: alone p99 ${ms(HealthyWebhook.percentile(alone, 0.99))}, beside ${
        ms(HealthyWebhook.percentile(found, 0.99))
      }, ${yield* Ref.get(mostLeased)} in hand at most`
    )
    yield* calmDown
  }
  yield* measureAlone

  yield* progress("waiting for sockets to close and idle connections to end")
  const seen = yield* Effect.orDie(eventually(sightings, ({ open }) => open === 0))
  const after = yield* Effect.orDie(eventually(vitals, ({ sockets }) => sockets <= before.sockets, "2 minutes"))
  const rows = yield* classesOf(url)
  const { arrived, published } = yield* healthy.counts
  const most = yield* Ref.get(mostLeased)
  const lost = published - arrived
  const late = Math.max(...rows.map((row) => Number(row["late"])))
  const lateOutside = Math.max(
    ...Object.entries(seen.longestMs).map(([kind, longest]) => longest - (timeouts.get(kind) ?? 0))
  )
  return [...kindFindings(rows, receivers), ...latencyFindings(alone, beside), ...resourceFindings(before, after), {
    what: "deliveries in hand, at most",
    found: String(most),
    goal: "at least 100",
    met: most >= 100
  }, {
    what: "event loop delay beside, p99 / max",
    found: `${Math.max(...loops.map((one) => one.loopP99Ms))} / ${Math.max(...loops.map((one) => one.loopMaxMs))} ms`
  }, {
    what: "latest end over its deadline, by the rows / the receivers",
    found: `${late} / ${lateOutside} ms`,
    goal: "at most 1000 ms",
    met: late <= 1_000 && lateOutside <= 1_000
  }, {
    what: "healthy events published / lost",
    found: `${published} / ${lost}`,
    goal: "none lost",
    met: lost === 0
  }]
})

const latencyFindings = (alone: ReadonlyArray<number>, beside: ReadonlyArray<number>): ReadonlyArray<Finding> => {
  const [p50, p50Beside] = [HealthyWebhook.percentile(alone, 0.5), HealthyWebhook.percentile(beside, 0.5)]
  const [p99, p99Beside] = [HealthyWebhook.percentile(alone, 0.99), HealthyWebhook.percentile(beside, 0.99)]
  return [
    { what: "healthy p50 alone / beside", found: `${ms(p50)} / ${ms(p50Beside)}` },
    {
      what: "healthy p99 alone / beside",
      found: `${ms(p99)} / ${ms(p99Beside)}`,
      goal: "below 1000 ms",
      met: p99Beside < 1_000
    },
    {
      what: "ratio of the p99",
      found: (p99Beside / p99).toFixed(2),
      goal: "at most 2",
      met: p99Beside <= 2 * p99
    }
  ]
}

/** What the runtime keeps for itself after it was busy: compiled code, pools of buffers. */
const keptMb = { heap: 16, rss: 128 }

const resourceFindings = (before: Vitals, after: Vitals): ReadonlyArray<Finding> => [
  {
    what: "heap before / after",
    found: `${before.heapMb} / ${after.heapMb} MB`,
    goal: `within ${keptMb.heap} MB`,
    met: after.heapMb <= before.heapMb + keptMb.heap
  },
  {
    what: "RSS before / after",
    found: `${before.rssMb} / ${after.rssMb} MB`,
    goal: `within ${keptMb.rss} MB`,
    met: after.rssMb <= before.rssMb + keptMb.rss
  },
  {
    what: "sockets before / after",
    found: `${before.sockets} / ${after.sockets}`,
    goal: "no more than before",
    met: after.sockets <= before.sockets
  },
  {
    what: "file descriptors before / after",
    found: `${before.fds} / ${after.fds}`,
    goal: "no more than before",
    met: after.fds <= before.fds
  }
]

export const drill: Drill<Scope.Scope> = {
  name: "hostile",
  goal:
    "one healthy webhook beside 500 hostile receivers keeps its p99 within twice its own, and nothing is late or lost",
  run: (length) => Effect.map(Effect.orDie(run(length)), (findings) => ({ findings }))
}
