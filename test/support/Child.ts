/** A child process: what it says, and how it ends. It is killed with the scope. */
import { Data, Deferred, Effect, Schedule, type Scope } from "effect"
import { spawn } from "node:child_process"

export interface ChildExit {
  /** Null where a signal ended it. */
  readonly code: number | null
  /** Everything it said, on both streams. */
  readonly output: string
}

class ChildEnded extends Data.TaggedError("ChildEnded")<{ readonly message: string }> {}

export interface Child {
  readonly pid: number
  /** Waits until it has said so, and answers with what was matched; fails with its words when it ends before. */
  readonly said: (pattern: RegExp) => Effect.Effect<RegExpExecArray, ChildEnded>
  /** What it has said so far. */
  readonly heard: Effect.Effect<string>
  readonly exit: Effect.Effect<ChildExit>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Sends a message and waits for the one that answers it; only for a child that was started with `answers`. */
  readonly ask: (question: string) => Effect.Effect<unknown>
  /** Sends the signal and waits for the end. */
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<ChildExit>
}

export interface ChildOptions {
  readonly cwd: string
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>
  /** It answers messages: `{ question }` with `{ question, answer }`. */
  readonly answers?: boolean
}

export const start = (
  command: string,
  args: ReadonlyArray<string>,
  options: ChildOptions
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.gen(function*() {
    const ended = yield* Deferred.make<ChildExit>()
    let heard = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const { answers = false, cwd, env } = options
        const stdio = answers ? ["ignore", "pipe", "pipe", "ipc"] as const : ["ignore", "pipe", "pipe"] as const
        return spawn(command, args, { cwd, env, stdio: [...stdio] })
      }),
      (child) => Effect.zipRight(Effect.sync(() => child.kill("SIGKILL")), Deferred.await(ended))
    )
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        heard += text
      })
    }
    // `close` comes after the last word; a command that cannot be started raises `error` alone.
    child.once("close", (code) => Deferred.unsafeDone(ended, Effect.succeed({ code, output: heard })))
    child.once("error", (error) => Deferred.unsafeDone(ended, Effect.succeed({ code: null, output: error.message })))

    const found = (pattern: RegExp) => Effect.sync(() => pattern.exec(heard))
    const said = (pattern: RegExp) =>
      found(pattern).pipe(
        Effect.repeat(Schedule.zipRight(
          Schedule.spaced("5 millis"),
          Schedule.recurUntil((match: RegExpExecArray | null) => match !== null)
        )),
        Effect.raceFirst(Effect.zipRight(Deferred.await(ended), found(pattern))),
        Effect.flatMap((match) =>
          match === null
            ? new ChildEnded({ message: `the child ended before it said ${pattern}: ${heard}` })
            : Effect.succeed(match)
        )
      )
    const signal = (name: NodeJS.Signals) => Effect.sync(() => void child.kill(name))
    return {
      pid: child.pid ?? 0,
      said,
      heard: Effect.sync(() => heard),
      exit: Deferred.await(ended),
      signal,
      ask: (question) =>
        Effect.async((resume) => {
          const onMessage = (message: unknown) => {
            if (isAnswer(message) && message.question === question) settle(Effect.succeed(message.answer))
          }
          const onEnd = () => settle(Effect.dieMessage(`the child ended before it answered "${question}": ${heard}`))
          const stop = () => {
            child.off("message", onMessage)
            child.off("close", onEnd)
          }
          const settle = (answer: Effect.Effect<unknown>) => {
            stop()
            resume(answer)
          }
          child.on("message", onMessage)
          child.once("close", onEnd)
          child.send({ question }, (error) => {
            if (error !== null) onEnd()
          })
          return Effect.sync(stop)
        }),
      kill: (name) => Effect.zipRight(signal(name), Deferred.await(ended))
    }
  })

const isAnswer = (message: unknown): message is { readonly question: string; readonly answer: unknown } =>
  typeof message === "object" && message !== null && "question" in message && "answer" in message

/** For the child's side. */
export const answering = (answer: (question: string) => Promise<unknown>): void => {
  process.on("message", ({ question }: { readonly question: string }) => {
    void answer(question).then((answered) => process.send?.({ question, answer: answered }))
  })
  // It goes on for its own reasons, or not at all.
  process.channel?.unref()
}
