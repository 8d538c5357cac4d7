/**
 * Outcomes that wait to be written, in lists, for the reason that CONTRIBUTING gives (8): a queue of Effect's is linked. They are
 * bounded by their number and by what their answers weigh, which receivers choose; so are the batches in which they leave.
 */
import * as Effect from "effect/Effect"
import type { WebhookId } from "../domain/Ids.ts"
import type { Outcome } from "../persistence/Outcomes.ts"
import type { Kept } from "./LeaseKeeper.ts"

export interface PendingOutcome {
  readonly webhookId: WebhookId
  readonly outcome: Outcome
  /** Kept until the outcome is written. */
  readonly lease: Kept
}

/** Outcomes of one statement, which changes the counters of each webhook in it once, however many it has of that. */
const batchMax = 1_000
/** What answers may weigh in it, headers and bodies. The statement carries bodies as hexadecimal digits. */
const batchBytesMax = 4_194_304
const pendingMax = 2_000
/** What the answers of those may weigh. */
const pendingBytesMax = 16_777_216

/** What the answer takes of memory and statement, more or less, in bytes. */
const weightOf = ({ outcome }: PendingOutcome): number => {
  const { body, headers } = outcome.exchange
  let weight = body.byteLength
  for (const name in headers) weight += name.length + (headers[name]?.length ?? 0)
  return weight
}

interface Weighed {
  readonly outcome: PendingOutcome
  readonly weight: number
}

interface Waiting extends Weighed {
  readonly resume: (go: Effect.Effect<void>) => void
}

export class PendingOutcomes {
  readonly #pending: Array<Weighed> = []
  readonly #waiting: Array<Waiting> = []
  readonly #latch = Effect.unsafeMakeLatch()
  /** What is pending weighs so much. */
  #weight = 0

  get size(): number {
    return this.#pending.length
  }

  /** Whether as many are there as a batch may have. */
  get isBatchFull(): boolean {
    return this.#pending.length >= batchMax
  }

  /** Waits until there are some. */
  get some(): Effect.Effect<void> {
    return this.#latch.await
  }

  offer(outcome: PendingOutcome): boolean {
    return this.#isFull ? false : this.#push({ outcome, weight: weightOf(outcome) })
  }

  /** Waits where there is no room, and is let in in turn. */
  add(outcome: PendingOutcome): Effect.Effect<void> {
    return Effect.async((resume) => {
      if (this.offer(outcome)) resume(Effect.void)
      else this.#waiting.push({ outcome, weight: weightOf(outcome), resume })
    })
  }

  /** The next batch. */
  take(): ReadonlyArray<PendingOutcome> {
    const batch = this.#pending.splice(0, this.#countOfNext())
    for (const { weight } of batch) this.#weight -= weight
    while (!this.#isFull) {
      const next = this.#waiting.shift()
      if (next === undefined) break
      this.#push(next)
      next.resume(Effect.void)
    }
    if (this.#pending.length === 0) this.#latch.unsafeClose()
    return batch.map(({ outcome }) => outcome)
  }

  get #isFull(): boolean {
    return this.#pending.length >= pendingMax || this.#weight >= pendingBytesMax
  }

  #push(one: Weighed): true {
    this.#pending.push(one)
    this.#weight += one.weight
    this.#latch.unsafeOpen()
    return true
  }

  /** One that is too heavy for a batch has one of its own. */
  #countOfNext(): number {
    let total = 0
    const end = this.#pending.findIndex(({ weight }, i) => {
      total += weight
      return i > 0 && (i === batchMax || total > batchBytesMax)
    })
    return end === -1 ? this.#pending.length : end
  }
}
