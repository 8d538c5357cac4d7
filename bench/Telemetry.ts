/**
 * What exporting costs: the same events through services that export nothing, to a collector that takes all (a share of
 * the traces, as it is by default, and every trace), to one that never answers, and to one that is not there. They take
 * turns; what counts is each one's ratio to those that export nothing.
 *
 * Two processes that do the same differ by a tenth for as long as they live, so all of them are started anew some times,
 * and there are two that export nothing: what these differ by, the others may, too. `npm run bench:telemetry`
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import * as EmbeddedService from "../test/support/EmbeddedService.ts"
import * as Service from "../test/support/Service.ts"
import { table } from "./Rounds.ts"

/** Of processes. */
const generations = 7
const rounds = 5
/** Not counted: what runs for the first time is compiled meanwhile. */
const warmUps = 5
const batches = 10
const concurrency = 4
const eventsPerBatch = 100

const listening = (server: Server) =>
  Effect.acquireRelease(
    Effect.async<string>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed(`http://127.0.0.1:${port}`))
      })
    }),
    () =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

/** Takes everything and keeps nothing. */
const taking = createServer((incoming, response) => {
  incoming.resume()
  incoming.on("end", () => response.end("{}"))
})

const silent = createServer(() => {})

/** What the process has spent, in seconds; the kernel counts hundredths (proc(5), `stat`). */
const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** One that counts what came for each batch: the path names it. */
const makeReceiver = Effect.gen(function*() {
  const waiting = new Map<string, { left: number; readonly done: Deferred.Deferred<void> }>()
  const url = yield* listening(createServer((incoming, response) => {
    const chunks: Array<Buffer> = []
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk))
    incoming.on("end", () => {
      response.end()
      const batch = JSON.parse(Buffer.concat(chunks).toString()).data.batch
      const awaited = waiting.get(batch)
      if (awaited === undefined || --awaited.left > 0) return
      waiting.delete(batch)
      Deferred.unsafeDone(awaited.done, Effect.void)
    })
  }))
  const expect = (batch: string) =>
    Effect.map(Deferred.make<void>(), (done) => {
      waiting.set(batch, { left: eventsPerBatch, done })
      return Deferred.await(done)
    })
  return { url, expect }
})

const rssMb = (pid: number): number => {
  const [, kb = "0"] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
  return Math.round(Number(kb) / 1_024)
}

/** The code as it runs in production, and as seldom looking for work. */
const asBuilt = new URL("typescript.mjs", import.meta.url).href
const settings = { WEBHOOKS_RATE_LIMIT_PER_SECOND: "0", WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS: "1000" }

const makeContender = (receiver: Effect.Effect.Success<typeof makeReceiver>) =>
(
  name: string,
  env: Readonly<Record<string, string>>
) =>
  Effect.gen(function*() {
    const dataDirectory = yield* EmbeddedService.directory()
    const service = yield* Service.serve({ dataDirectory, preload: asBuilt, env: { ...settings, ...env } })
    yield* service.api.send("POST", "/api/webhooks", { url: `${receiver.url}/hook`, events: ["*"] })
    let batch = 0
    const run = Effect.gen(function*() {
      const id = `${service.pid}-${batch++}`
      const delivered = yield* receiver.expect(id)
      const events = Array.from({ length: eventsPerBatch }, (_, n) => ({
        event_type: "bench.telemetry",
        payload: { batch: id, n, title: "Novo Negócio", value: 1_000 }
      }))
      yield* service.api.send("POST", "/api/events/batch", { events })
      yield* delivered
    })
    // A publisher that traces asks, with its `traceparent`, for a record of everything.
    return { name, run: Effect.withTracerEnabled(run, false), pid: service.pid }
  })

type Contender = Effect.Effect.Success<ReturnType<ReturnType<typeof makeContender>>>

interface Spent {
  seconds: number
  cpuSeconds: number
}

/** What each of the contenders spent in its turns. */
const race = (contenders: ReadonlyArray<Contender>) =>
  Effect.gen(function*() {
    const spent = new Map(contenders.map(({ name }): [string, Spent] => [name, { seconds: 0, cpuSeconds: 0 }]))
    for (let round = 0; round < warmUps + rounds; round++) {
      // Nobody always comes after the same neighbour.
      for (const { name, pid, run } of yield* Random.shuffle(contenders)) {
        const [cpuBefore, before] = [cpuSeconds(pid), yield* Clock.currentTimeNanos]
        yield* Effect.replicateEffect(run, batches, { concurrency, discard: true })
        const total = spent.get(name)
        if (round < warmUps || total === undefined) continue
        total.seconds += Number((yield* Clock.currentTimeNanos) - before) / 1e9
        total.cpuSeconds += cpuSeconds(pid) - cpuBefore
      }
    }
    return spent
  })

const nothing = "exports nothing"
const twin = "exports nothing, too"

const makeGeneration = (receiver: Effect.Effect.Success<typeof makeReceiver>, taken: string, unanswered: string) => {
  const contender = makeContender(receiver)
  const collector = { OTEL_EXPORTER_OTLP_ENDPOINT: taken }
  return Effect.all([
    contender(nothing, {}),
    contender("exports, 5 % of traces", collector),
    contender("exports, every trace", { ...collector, OTEL_TRACES_SAMPLER: "always_on" }),
    contender(twin, {}),
    contender("collector never answers", { OTEL_EXPORTER_OTLP_ENDPOINT: unanswered }),
    contender("collector is not there", { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" })
  ])
}

/** Per second of what is asked for, in each generation. First comes the mean of both that export nothing: the table divides by it. */
const rates = (generations: ReadonlyArray<ReadonlyMap<string, Spent>>, of: (spent: Spent) => number) => {
  const rate = (spent: ReadonlyMap<string, Spent>, name: string) =>
    rounds * batches * eventsPerBatch / of(spent.get(name) ?? { seconds: Number.NaN, cpuSeconds: Number.NaN })
  const names = [...generations[0]?.keys() ?? []]
  return [
    { name: "both that export nothing", rates: generations.map((all) => (rate(all, nothing) + rate(all, twin)) / 2) },
    ...names.map((name) => ({ name, rates: generations.map((all) => rate(all, name)) }))
  ]
}

const program = Effect.scoped(Effect.gen(function*() {
  const receiver = yield* makeReceiver
  const [taken, unanswered] = [yield* listening(taking), yield* listening(silent)]
  const results: Array<ReadonlyMap<string, Spent>> = []
  yield* Console.log(`${generations} generations of six services; each takes a minute or two`)
  for (let generation = 1; generation <= generations; generation++) {
    yield* Effect.scoped(Effect.gen(function*() {
      const contenders = yield* makeGeneration(receiver, taken, unanswered)
      const spent = yield* race(contenders)
      results.push(spent)
      yield* Console.log(`generation ${generation} of ${generations}`)
      for (const { name, pid } of contenders) {
        const perSecond = rounds * batches * eventsPerBatch / (spent.get(name)?.seconds ?? Number.NaN)
        yield* Console.log(`  ${name.padEnd(32)}  ${perSecond.toFixed(0)} a second, ${rssMb(pid)} MB resident`)
      }
    }))
  }
  yield* Console.log(`\n${table("deliveries", rates(results, ({ seconds }) => seconds))}`)
  // Where something else keeps the machine busy, this is what still tells one from another.
  yield* Console.log(
    `\n${table("deliveries, by the process's own CPU", rates(results, ({ cpuSeconds }) => cpuSeconds))}`
  )
}))

NodeRuntime.runMain(program)
