/** The other side of a process of the benchmark: it is ready, and answers questions until it is told to end. */

/** Each question with its argument; both ways it is JSON. */
export type Answers = Readonly<Record<string, (argument: never) => Promise<unknown>>>

export interface Question {
  /** From 1 on. */
  readonly id: number
  readonly question: string
  readonly argument: unknown
}

/** To the question of this number; 0 says that the process is ready. */
export type Answer =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly failure: string }

const say = (answer: Answer): void => void process.send?.(answer)

/** What whoever started this process told it to do. */
export const argument = (): unknown => JSON.parse(process.argv[2] ?? "null")

export const answering = (ready: unknown, answers: Answers): void => {
  process.on("message", ({ argument, id, question }: Question) => {
    const answer = answers[question] as ((argument: unknown) => Promise<unknown>) | undefined
    const answered = answer?.(argument) ?? Promise.reject(new Error(`there is no question ${question}`))
    answered.then(
      (answer) => say({ id, answer }),
      (error: unknown) => say({ id, failure: error instanceof Error ? `${error.stack}` : String(error) })
    )
  })
  say({ id: 0, answer: ready })
}
