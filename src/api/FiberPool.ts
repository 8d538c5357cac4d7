/**
 * Fibers that run one effect after another, as many as there ever were effects at once. To make a fiber for each request takes
 * longer than most steps of a publish; and Effect keeps all fibers without a parent in one Set, where thousands that come
 * and go each second hold each other, as V8 sees it, and outlive several garbage collections.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"

export interface FiberPool {
  /** Runs it, and tells what came of it. Returns how to interrupt it; once it has ended, that does nothing. */
  readonly run: <A, E>(
    effect: Effect.Effect<A, E>,
    onExit: (exit: Exit.Exit<A, E>) => void
  ) => (by: FiberId.FiberId) => void
}

interface Worker {
  fiber: Fiber.RuntimeFiber<never> | null
  /** Where it rests: how it goes on. */
  resume: (next: Effect.Effect<never>) => void
  /** It ends with what it is at. */
  isInterrupted: boolean
}

/** Its fibers end with the scope; those at work, once they are done. */
export const make: Effect.Effect<FiberPool, never, Scope.Scope> = Effect.gen(function*() {
  // Whoever runs something here hears what becomes of it: a line of Effect's own about it would say what a request said.
  const fork = Runtime.runFork(yield* Effect.withUnhandledErrorLogLevel(Effect.runtime<never>(), Option.none()))
  const resting: Array<Worker> = []
  let isClosed = false
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true
      for (const { resume } of resting.splice(0)) resume(Effect.interrupt)
    })
  )

  const rest = (worker: Worker): Effect.Effect<never> =>
    isClosed || worker.isInterrupted ? Effect.interrupt : Effect.async((resume) => {
      worker.resume = resume
      resting.push(worker)
    })

  const run: FiberPool["run"] = (effect, onExit) => {
    const worker = resting.pop() ?? newcomer()
    let isOver = false
    const end = (exit: Parameters<typeof onExit>[0]) => {
      isOver = true
      onExit(exit)
      return rest(worker)
    }
    const work = Effect.matchCauseEffect(effect, {
      onSuccess: (value) => end(Exit.succeed(value)),
      onFailure: (cause) => end(Exit.failCause(cause))
    })
    if (worker.fiber === null) worker.fiber = fork(work)
    else worker.resume(work)
    return (by) => {
      if (isOver || worker.isInterrupted) return
      worker.isInterrupted = true
      worker.fiber?.addObserver((exit) => {
        if (!isOver) onExit(exit)
      })
      worker.fiber?.unsafeInterruptAsFork(by)
    }
  }
  return { run }
})

const newcomer = (): Worker => ({ fiber: null, resume: () => {}, isInterrupted: false })
