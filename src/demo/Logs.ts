/** Keeps the service's log off the screen, where it would tear the board, and prints it when the service has ended. */
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as HashSet from "effect/HashSet"
import * as Logger from "effect/Logger"
import { Screen } from "./Screen.ts"

const linesMax = 50

export const collected = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Screen> =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.map(Logger.logfmtLogger, (line) => {
      if (lines.length < linesMax) lines.push(line)
    })
    const print = Effect.flatMap(Screen, ({ say }) => Effect.forEach(lines, (line) => say(`  ${line}`)))
    return Effect.ensuring(Effect.locally(effect, FiberRef.currentLoggers, HashSet.make(logger)), print)
  })
