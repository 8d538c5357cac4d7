/** A process of the benchmark: it is started with an argument, says when it is ready, and answers questions. */
import * as Config from "effect/Config"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import type { Answer, Answers, Question } from "./Answering.ts"
import { Failure } from "./Failure.ts"

/** A process that is ready with `Ready` and answers `A`. What goes either way is JSON. */
export interface Process<Ready, A extends Answers> {
  readonly pid: number
  readonly ready: Ready
  readonly ask: <K extends keyof A & string>(
    question: K,
    ...argument: Parameters<A[K]>
  ) => Effect.Effect<Awaited<ReturnType<A[K]>>, Failure>
}

const here = dirname(fileURLToPath(import.meta.url))
const loader = new URL("typescript.mjs", import.meta.url).href

/** Starts `bench/<script>` and waits until it is ready; it is ended with the scope. */
export const start = <Ready, A extends Answers>(
  script: string,
  argument: unknown,
  nodeOptions: ReadonlyArray<string> = []
): Effect.Effect<Process<Ready, A>, Failure, Scope.Scope> =>
  Effect.gen(function*() {
    const path = yield* Effect.orDie(Config.string("PATH"))
    const { answered, child } = yield* Effect.acquireRelease(
      Effect.sync(() => run([...nodeOptions, "--import", loader, script, JSON.stringify(argument)], { PATH: path })),
      stop
    )
    const ready = yield* answered(0)
    let asked = 0
    return {
      pid: child.pid ?? 0,
      ready: ready as Ready,
      ask: (question, ...[argument]) =>
        Effect.suspend(() => {
          const id = ++asked
          const answer = answered(id)
          child.send({ id, question, argument } satisfies Question)
          return answer as Effect.Effect<never, Failure>
        })
    }
  })

interface Running {
  readonly child: ChildProcess
  readonly ended: Deferred.Deferred<never, Failure>
  /** The answer to the question of this number; fails when the process ends before. */
  readonly answered: (id: number) => Effect.Effect<unknown, Failure>
}

const run = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>): Running => {
  const script = args.at(-2) ?? ""
  const child = spawn(process.execPath, args, {
    cwd: here,
    env,
    stdio: ["ignore", "pipe", "pipe", "ipc"]
  })
  let heard = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => heard = `${heard}${text}`.slice(-4_000))
  }
  const ended = Effect.runSync(Deferred.make<never, Failure>())
  const waiting = new Map<number, Deferred.Deferred<unknown, Failure>>()
  const wait = (id: number) => {
    const known = waiting.get(id) ?? Effect.runSync(Deferred.make<unknown, Failure>())
    waiting.set(id, known)
    return known
  }
  child.on("message", (answer: Answer) => {
    const outcome = "failure" in answer ? Effect.fail(failed(script, answer.failure)) : Effect.succeed(answer.answer)
    Deferred.unsafeDone(wait(answer.id), outcome)
  })
  // `close` comes after the last word; what cannot be started raises `error` alone.
  child.once("close", (code, signal) => {
    Deferred.unsafeDone(ended, Effect.fail(failed(script, `it ended (${code ?? signal}) and said:\n${heard.trim()}`)))
  })
  child.once("error", (error) => Deferred.unsafeDone(ended, Effect.fail(failed(script, error.message))))
  return {
    child,
    ended,
    answered: (id) => {
      const answer = wait(id)
      return Effect.raceFirst(Deferred.await(answer), Deferred.await(ended)).pipe(
        Effect.ensuring(Effect.sync(() => waiting.delete(id)))
      )
    }
  }
}

const failed = (script: string, problem: string) =>
  new Failure({ problem: `bench/${script} failed: ${problem}`, advice: "Mend that, and run the case again" })

const patience = "20 seconds"

const stop = ({ child, ended }: Running) =>
  Effect.sync(() => child.kill("SIGTERM")).pipe(
    Effect.zipRight(Effect.ignore(Deferred.await(ended))),
    Effect.timeoutOption(patience),
    Effect.zipRight(Effect.sync(() => child.kill("SIGKILL"))),
    // What it has started it ends itself, and needs the time to do so.
    Effect.zipRight(Effect.ignore(Deferred.await(ended)))
  )
