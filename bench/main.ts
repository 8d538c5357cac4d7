/**
 * `npm run bench`: this service, what one would use instead, and what the machine can do at most, in one go and taking
 * turns; or the cases that are named. `--quick` shows in minutes that it all works; its figures mean little.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Arguments from "./Arguments.ts"
import { backlog } from "./cases/Backlog.ts"
import { cost } from "./cases/Cost.ts"
import { latency } from "./cases/Latency.ts"
import { noisy } from "./cases/Noisy.ts"
import * as Saturation from "./cases/Saturation.ts"
import * as Performance from "./Performance.ts"
import * as Results from "./Results.ts"

const cases = [
  Saturation.instant,
  Saturation.slow,
  Saturation.fanOut,
  Saturation.slowFsync,
  latency,
  noisy,
  backlog,
  cost
]

const program = Effect.gen(function*() {
  const options = yield* Arguments.parse(process.argv.slice(2), cases)
  const performed: Array<Performance.Performed> = []
  for (const one of options.cases) {
    performed.push(yield* Performance.perform(one, options))
    yield* Results.write(options, performed)
  }
  yield* Console.log(`\nEverything is in ${options.out}: results.json, results.md and results.svg`)
  for (const { failures } of performed) for (const failure of failures) yield* Console.error(`FAILED ${failure}`)
  if (performed.some(({ failures }) => failures.length > 0)) yield* Effect.sync(() => process.exitCode = 1)
})

program.pipe(
  Effect.catchTag(
    "Failure",
    ({ message }) => Effect.zipRight(Console.error(message), Effect.sync(() => process.exitCode = 1))
  ),
  Effect.provide(NodeContext.layer),
  Logger.withMinimumLogLevel(LogLevel.Warning),
  NodeRuntime.runMain
)
