/**
 * Sequences that go on together: when each of them has asked for its next step, all these steps are done at once. So a
 * few statements do the work of many, and what one sequence does to the others' rows is seen.
 */

interface Question<Request, Answer> {
  readonly request: Request
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

export class Lockstep<Request, Answer> {
  readonly #run: (requests: ReadonlyArray<Request>) => Promise<ReadonlyArray<Answer>>
  #left: number
  #asked: Array<Question<Request, Answer>> = []

  constructor(sequences: number, run: (requests: ReadonlyArray<Request>) => Promise<ReadonlyArray<Answer>>) {
    this.#left = sequences
    this.#run = run
  }

  ask(request: Request): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#asked.push({ request, resolve, reject })
      this.#go()
    })
  }

  /** A sequence has come to its end: nobody waits for it. */
  leave(): void {
    this.#left--
    this.#go()
  }

  #go(): void {
    if (this.#asked.length === 0 || this.#asked.length < this.#left) return
    const asked = this.#asked
    this.#asked = []
    void this.#answer(asked)
  }

  async #answer(asked: ReadonlyArray<Question<Request, Answer>>): Promise<void> {
    try {
      const answers = await this.#run(asked.map(({ request }) => request))
      for (const [i, { reject, resolve }] of asked.entries()) {
        const answer = answers[i]
        if (answer === undefined) reject(new Error("a request was not answered"))
        else resolve(answer)
      }
    } catch (error) {
      for (const { reject } of asked) reject(error)
    }
  }
}
