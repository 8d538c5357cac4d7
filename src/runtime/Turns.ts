/**
 * When attempts begin. Each costs the processor a millisecond or more, for signing, dialling, a TLS handshake; many that
 * begin at once would keep whoever publishes, and every answer that comes, waiting for all of them. So they begin a few
 * at a time, with a turn of the event loop in between; and at webhooks that did not take their latest delivery, whose
 * retries become due many at a time, they begin evenly over a moment that nobody there will notice.
 */
import * as Effect from "effect/Effect"
import type { WebhookId } from "../domain/Ids.ts"
import * as Timer from "../transport/Timer.ts"

/** In one turn of the loop: as many as take less time than anybody would notice. */
const atOnce = 4

/** However many wait to begin evenly, they begin within about so long, and the fewer they are, the sooner. */
const spreadMs = 250
const tickMs = 5

/** Webhooks that are remembered. */
const failingMax = 10_000

type Begin = () => void

export class Turns {
  /** The one that failed first is first. */
  readonly #failing = new Set<WebhookId>()
  /** At webhooks that fail: until their tick. */
  readonly #spread: Array<Begin> = []
  #isTicking = false
  /** As many as it takes for the last of them to begin in time. */
  #perTick = 0
  /** Until a turn; the first before the others. */
  readonly #first: Array<Begin> = []
  readonly #others: Array<Begin> = []
  #begun = 0

  /** How to wait until an attempt may begin; null where it may begin now, as where few do. The turn is taken as this is called. */
  take(webhook: WebhookId): Effect.Effect<void> | null {
    if (this.#failing.has(webhook)) {
      return Effect.async<void>((resume) => this.#beginEvenly(() => resume(Effect.void)))
    }
    if (this.#begun < atOnce) {
      this.#count()
      return null
    }
    return Effect.async<void>((resume) => this.#beginInTurn(this.#first, () => resume(Effect.void)))
  }

  /** What came of an attempt. */
  remember(webhook: WebhookId, isDelivered: boolean): void {
    this.#failing.delete(webhook)
    if (isDelivered) return
    this.#failing.add(webhook)
    const oldest = this.#failing.values().next()
    if (this.#failing.size > failingMax && oldest.done !== true) this.#failing.delete(oldest.value)
  }

  #beginEvenly(begin: Begin): void {
    if (this.#isTicking) {
      this.#spread.push(begin)
      this.#perTick = Math.max(this.#perTick, Math.ceil(this.#spread.length * tickMs / spreadMs))
      return
    }
    this.#isTicking = true
    this.#perTick = 0
    Timer.after(tickMs, () => this.#tick())
    this.#beginInTurn(this.#others, begin)
  }

  #tick(): void {
    const due = this.#spread.splice(0, this.#perTick)
    this.#isTicking = due.length > 0
    if (!this.#isTicking) return
    Timer.after(tickMs, () => this.#tick())
    for (const begin of due) this.#beginInTurn(this.#others, begin)
  }

  #beginInTurn(waiting: Array<Begin>, begin: Begin): void {
    if (this.#begun < atOnce) {
      this.#count()
      begin()
    } else {
      waiting.push(begin)
    }
  }

  #count(): void {
    if (this.#begun === 0) setImmediate(() => this.#pass())
    this.#begun += 1
  }

  #pass(): void {
    this.#begun = 0
    while (this.#begun < atOnce) {
      const next = this.#next(this.#begun === 0)
      if (next === undefined) return
      this.#count()
      next()
    }
  }

  /** One in each turn is for the others, so that no number of the first keeps them waiting for ever. */
  #next(isForOthers: boolean): Begin | undefined {
    return isForOthers
      ? this.#others.shift() ?? this.#first.shift()
      : this.#first.shift() ?? this.#others.shift()
  }
}
