/** The process in which a contender lives, or the publisher of one that is published to from outside. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { answering, argument } from "./Answering.ts"
import type { Place } from "./Contender.ts"
import { entries } from "./Contenders.ts"
import * as Load from "./Load.ts"

export interface Role {
  readonly contender: string
  readonly part: "contender" | "publisher"
  readonly place: Place
}

const { contender: name, part, place } = argument() as Role

/** Nobody else here writes a line of each delivery. Whoever embeds the service says which lines it wants. */
const quietly = <A>(effect: Effect.Effect<A>): Promise<A> =>
  Effect.runPromise(Logger.withMinimumLogLevel(effect, LogLevel.Error))

const load = Effect.promise(async () => {
  const entry = entries.find((entry) => entry.name === name)
  const make = await (part === "publisher" ? entry?.loadPublisher : entry?.load)?.()
  if (make === undefined) throw new Error(`there is no ${part} ${name}`)
  return make
})

const program = Effect.gen(function*() {
  const contender = yield* Effect.flatMap(load, (make) => make(place))
  const answers = {
    asFastAsItGoes: (load: Load.AsFastAsItGoes) => quietly(Load.asFastAsItGoes(contender, load)),
    steady: (load: Load.Steady) => quietly(Load.steady(contender, load))
  }
  answering(contender.address ?? null, answers)
  return yield* Effect.never as Effect.Effect<typeof answers>
})
export type HostAnswers = Effect.Effect.Success<typeof program>

// Whoever started it went away: nobody asks any more.
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"))
program.pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.Error), NodeRuntime.runMain)
