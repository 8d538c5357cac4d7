/**
 * What exporting costs: the same events through services that export nothing, to a collector that takes all (a share of
 * the traces, as it is by default, and every trace), to one that never answers, and to one that is not there. They take
 * turns; what counts is each one's ratio to the first in the same round. `npm run bench:telemetry`
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import * as EmbeddedService from "../test/support/EmbeddedService.ts"
import * as Service from "../test/support/Service.ts"
import { table } from "./Rounds.ts"

const rounds = 15
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

const makeContender = (receiver: Effect.Effect.Success<typeof makeReceiver>) =>
(
  name: string,
  env: Readonly<Record<string, string>>
) =>
  Effect.gen(function*() {
    const dataDirectory = yield* EmbeddedService.directory()
    const service = yield* Service.serve({ dataDirectory, env: { WEBHOOKS_RATE_LIMIT_PER_SECOND: "0", ...env } })
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

const program = Effect.scoped(Effect.gen(function*() {
  const contender = makeContender(yield* makeReceiver)
  const collector = { OTEL_EXPORTER_OTLP_ENDPOINT: yield* listening(taking) }
  const contenders = [
    yield* contender("exports nothing", {}),
    // What two alike differ by, the others may, too.
    yield* contender("exports nothing, its twin", {}),
    yield* contender("exports, 5 % of traces", collector),
    yield* contender("exports, every trace", { ...collector, OTEL_TRACES_SAMPLER: "always_on" }),
    yield* contender("collector never answers", { OTEL_EXPORTER_OTLP_ENDPOINT: yield* listening(silent) }),
    yield* contender("collector is not there", { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" })
  ]
  const perSecond = contenders.map(({ name }) => ({ name, rates: new Array<number>() }))
  const perCpuSecond = contenders.map(({ name }) => ({ name, rates: new Array<number>() }))
  for (let round = 0; round < warmUps + rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      // Another one begins each time: nobody always comes after the same neighbour.
      const index = (round + turn) % contenders.length
      const { pid, run } = contenders[index] ?? (yield* Effect.dieMessage("there is one for each turn"))
      const [cpuBefore, before] = [cpuSeconds(pid), yield* Clock.currentTimeNanos]
      yield* Effect.replicateEffect(run, batches, { concurrency, discard: true })
      const seconds = Number((yield* Clock.currentTimeNanos) - before) / 1e9
      if (round < warmUps) continue
      perSecond[index]?.rates.push(batches * eventsPerBatch / seconds)
      perCpuSecond[index]?.rates.push(batches * eventsPerBatch / (cpuSeconds(pid) - cpuBefore))
    }
  }
  yield* Console.log(table("deliveries", perSecond))
  // Where something else keeps the machine busy, this is what still tells one from another.
  yield* Console.log(`\n${table("deliveries, by the process's own CPU", perCpuSecond)}\n`)
  for (const { name, pid } of contenders) yield* Console.log(`${name.padEnd(34)}  ${rssMb(pid)} MB resident`)
}))

NodeRuntime.runMain(program)
