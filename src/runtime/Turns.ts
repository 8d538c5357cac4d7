/**
 * Attempts begin a few at a time, with a turn of the event loop between them. Each costs the processor a millisecond or
 * more, for signing, dialling, a TLS handshake; many that begin at once would keep whoever publishes, and every answer that
 * comes, waiting for all of them. Webhooks that took their latest delivery go before the others: they are the quicker
 * ones, too.
 */
import * as Effect from "effect/Effect"
import type { WebhookId } from "../domain/Ids.ts"

/** In one turn of the loop: as many as take less time than anybody would notice. */
const atOnce = 4

/** Webhooks that are remembered. */
const wellMax = 10_000

type Resume = (effect: Effect.Effect<void>) => void

export class Turns {
  /** The one that was well last is last. */
  readonly #well = new Set<WebhookId>()
  readonly #first: Array<Resume> = []
  readonly #others: Array<Resume> = []
  #begun = 0

  /** Waits until an attempt may begin; not at all where few do. */
  take(webhook: WebhookId): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#begun < atOnce) {
        this.#begin()
        return Effect.void
      }
      const waiting = this.#well.has(webhook) ? this.#first : this.#others
      return Effect.async((resume: Resume) => {
        waiting.push(resume)
        // The turn may have passed since it was looked at.
        if (this.#begun === 0) setImmediate(() => this.#pass())
      })
    })
  }

  /** What came of an attempt. */
  remember(webhook: WebhookId, isDelivered: boolean): void {
    this.#well.delete(webhook)
    if (isDelivered) this.#well.add(webhook)
    const oldest = this.#well.values().next()
    if (this.#well.size > wellMax && oldest.done !== true) this.#well.delete(oldest.value)
  }

  /** One in each turn is for the others, so that no number of the first keeps them waiting for ever. */
  #next(isForOthers: boolean): Resume | undefined {
    return isForOthers
      ? this.#others.shift() ?? this.#first.shift()
      : this.#first.shift() ?? this.#others.shift()
  }

  #begin(): void {
    if (this.#begun === 0) setImmediate(() => this.#pass())
    this.#begun += 1
  }

  #pass(): void {
    this.#begun = 0
    while (this.#begun < atOnce) {
      const next = this.#next(this.#begun === 0)
      if (next === undefined) return
      this.#begin()
      next(Effect.void)
    }
  }
}
