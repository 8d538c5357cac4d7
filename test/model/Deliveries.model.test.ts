/**
 * Long random sequences of what can happen to deliveries, done by the stores on a real Postgres and by a model: they
 * agree after each step on everything that is stored. MODEL_SEQUENCES or MODEL_SECONDS says when it has been enough.
 * What differs is told as the shortest sequence found, and MODEL_SEED, MODEL_PATH and MODEL_REPLAY do it again.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Config, Console, Effect, FastCheck as fc, Layer, Logger, LogLevel, Option, Runtime } from "effect"
import { Signals } from "../../src/telemetry/Signals.ts"
import * as Stores from "../support/Stores.ts"
import * as Beginning from "./Beginning.ts"
import * as Commands from "./Commands.ts"
import { Lockstep } from "./Lockstep.ts"
import * as Model from "./Model.ts"
import { type Answer, type Asked, serve } from "./Service.ts"

const settings = Effect.runSync(Config.all({
  sequences: Config.withDefault(Config.integer("MODEL_SEQUENCES"), 10_000),
  seconds: Config.withDefault(Config.integer("MODEL_SECONDS"), 180),
  seed: Config.option(Config.integer("MODEL_SEED")),
  path: Config.option(Config.string("MODEL_PATH")),
  replay: Config.option(Config.string("MODEL_REPLAY"))
}))

/** Of a sequence that took longer than a tick nothing can be said: time passed that its model knows nothing of. */
const sequenceMsMax = (Model.tickSeconds - 3) * 1_000

/** The more side by side, the more is done by one statement; as many as this machine does in a good part of that time. */
const nextSize = (size: number, longestMs: number): number => {
  if (longestMs < sequenceMsMax / 4) return Math.min(128, size * 2)
  return longestMs > sequenceMsMax / 2 ? Math.max(8, Math.floor(size / 2)) : size
}

/** Sequences for one size, after which the tables are emptied. */
const batchSize = (size: number): number => 4 * size

type Sequence = Iterable<fc.AsyncCommand<Model.Model, Commands.Service>>

/** Today's partitions and tomorrow's: every one more has to be planned for by each statement. */
const partitions = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`SELECT ensure_partitions((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 1)`
)

const clear = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`TRUNCATE attempts, deliveries, events, outbox, alerts, subscriptions, webhooks`
)

interface Ran {
  /** Among those that were to be run. */
  readonly index: number
  /** Null where the service and the model agreed. */
  readonly failure: { readonly error: unknown } | null
  readonly commands: number
  readonly tookMs: number
}

let batches = 0

/** Runs these sequences, so many side by side, each on a client of its own; none begins after that time of this clock. */
const run = (sequences: ReadonlyArray<Sequence>, size: number, lastMs = Number.POSITIVE_INFINITY) =>
  Effect.gen(function*() {
    yield* clear
    const batch = batches++
    const runtime = yield* Effect.runtime<Effect.Effect.Context<ReturnType<typeof serve>>>()
    const slots = Math.min(size, sequences.length)
    const lockstep = new Lockstep<Asked, Answer>(slots, (asked) => Runtime.runPromise(runtime)(serve(asked)))

    const one = async (sequence: Sequence, index: number): Promise<Ran> => {
      const model = Runtime.runSync(runtime)(Beginning.newModel(`model-${batch}-${index}`))
      const begun = performance.now()
      const ran = (failure: Ran["failure"]): Ran => ({
        index,
        failure,
        commands: model.turn,
        tookMs: performance.now() - begun
      })
      try {
        await lockstep.ask({ clientId: model.clientId, step: { _tag: "begin", model } })
        await fc.asyncModelRun(() => ({ model, real: (asked: Asked) => lockstep.ask(asked) }), sequence)
        return ran(null)
      } catch (error) {
        return ran({ error })
      }
    }

    const left = sequences.entries()
    const slot = async () => {
      const all: Array<Ran> = []
      for (const [i, sequence] of left) {
        if (performance.now() > lastMs) break
        all.push(await one(sequence, i))
      }
      lockstep.leave()
      return all
    }
    const all = yield* Effect.promise(() => Promise.all(Array.from({ length: slots }, slot)))
    return all.flat().sort((a, b) => a.index - b.index)
  })

const ModelTest = Layer.mergeAll(Stores.layer, Signals.layer, Logger.minimumLogLevel(LogLevel.None))

layer(ModelTest, Stores.options)("Deliveries", (it) => {
  /** The shortest sequence like this one that fails, and how to do it again. */
  const shrink = (seed: number, path: string, replay?: string) =>
    Effect.gen(function*() {
      const runtime = yield* Effect.runtime<Effect.Effect.Context<ReturnType<typeof run>>>()
      const property = fc.asyncProperty(Commands.sequences(replay), async (sequence) => {
        const [ran] = await Runtime.runPromise(runtime)(run([sequence], 1))
        fc.pre(ran !== undefined && ran.tookMs <= sequenceMsMax)
        if (ran.failure !== null) throw ran.failure.error
      })
      const details = yield* Effect.promise(() => fc.check(property, { seed, path, numRuns: 1 }))
      return details.failed ? Option.some(fc.defaultReportMessage(details)) : Option.none<string>()
    })

  it.effect("are what the model says, whatever happens in whatever order", () =>
    Effect.gen(function*() {
      yield* partitions
      const lastMs = performance.now() + settings.seconds * 1_000
      const seed = Option.getOrElse(settings.seed, () => Math.floor(performance.timeOrigin) % 1_000_000_000)
      if (Option.isSome(settings.path)) {
        const found = yield* shrink(seed, settings.path.value, Option.getOrUndefined(settings.replay))
        return Option.match(found, { onNone: () => {}, onSome: (report) => assert.fail(report) })
      }
      let [sequences, commands, late, size] = [0, 0, 0, 32]
      while (sequences < settings.sequences && performance.now() < lastMs) {
        const batchSeed = seed + sequences
        const batch = fc.sample(Commands.sequences(), {
          seed: batchSeed,
          numRuns: Math.min(batchSize(size), settings.sequences - sequences)
        })
        const all = yield* run(batch, size, lastMs)
        for (const { commands: made, failure, index, tookMs } of all) {
          sequences++
          commands += made
          if (tookMs > sequenceMsMax) late++
          else if (failure !== null) {
            yield* Console.log(`MODEL_SEED=${batchSeed} MODEL_PATH=${index}`)
            const found = yield* shrink(batchSeed, String(index))
            // One that goes well alone fails by what the others did: then that is all there is to tell.
            if (Option.isNone(found)) throw failure.error
            assert.fail(found.value)
          }
        }
        size = nextSize(size, Math.max(...all.map(({ tookMs }) => tookMs)))
      }
      yield* Console.log(`MODEL_SEED=${seed}: ${sequences} sequences, ${commands} commands, ${late} too late to judge`)
      assert.isBelow(late, sequences, "none could be judged: this machine is too slow")
    }), (settings.seconds + 300) * 1_000)
})
