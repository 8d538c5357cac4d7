/**
 * When attempts begin, and in which order. Each costs the processor a millisecond or more, for signing, dialling, a TLS
 * handshake; many that begin at once would keep whoever publishes, and every answer that comes, waiting for all of them.
 * So they begin a few at a time, with a turn of the event loop in between:
 *
 * - first what was published a moment ago, so that no backlog, however large, keeps a fresh event waiting;
 * - then what was claimed, which has waited for longer than it takes anyhow; a quarter of each turn, whatever is fresh, and
 *   never more than half, so that whatever comes in meanwhile finds short turns;
 * - at webhooks that did not take their latest delivery, whose retries become due many at a time, attempts begin evenly
 *   over a moment that nobody there will notice.
 */
import type { WebhookId } from "../domain/Ids.ts"
import * as Timer from "../transport/Timer.ts"

/** In one turn of the loop: as many as take less time than anybody would notice. */
const atOnce = 8

/** Of these, so many are for what is not fresh, whatever is; and so many at most. */
const othersMin = 2
const othersMax = 4

/** However many wait to begin evenly, they begin within about so long, and the fewer they are, the sooner. */
const spreadMs = 250
const tickMs = 5

/** Webhooks that are remembered. */
const failingMax = 10_000

/** What can be said of one that waits for its turn. */
export interface Standing {
  readonly webhookId: WebhookId
  /** Committed a moment ago, by a publish of this node. */
  readonly isFresh: boolean
}

export class Turns<A> {
  /** The one that failed first is first. */
  readonly #failing = new Set<WebhookId>()
  /** At webhooks that fail: until their tick. */
  readonly #spread: Array<A> = []
  #isTicking = false
  /** As many as it takes for the last of them to begin in time. */
  #perTick = 0
  readonly #fresh: Array<A> = []
  /** What was claimed, and what is for webhooks that fail. */
  readonly #others: Array<A> = []
  /** In this turn. */
  #begun = 0
  #othersBegun = 0
  readonly #begin: (one: A) => void

  constructor(begin: (one: A) => void) {
    this.#begin = begin
  }

  /** How many that are not fresh wait for nothing but those before them. */
  get inLine(): number {
    return this.#others.length
  }

  /** How many that are fresh wait for nothing but those before them. */
  get freshInLine(): number {
    return this.#fresh.length
  }

  /** How many wait. */
  get size(): number {
    return this.#fresh.length + this.#others.length + this.#spread.length
  }

  /** Begins it at once where few others do. */
  add(one: A, { isFresh, webhookId }: Standing): void {
    if (this.#failing.has(webhookId)) return this.#beginEvenly(one)
    this.#beginInTurn(isFresh ? this.#fresh : this.#others, one)
  }

  /** What came of an attempt. */
  remember(webhook: WebhookId, isDelivered: boolean): void {
    this.#failing.delete(webhook)
    if (isDelivered) return
    this.#failing.add(webhook)
    const oldest = this.#failing.values().next()
    if (this.#failing.size > failingMax && oldest.done !== true) this.#failing.delete(oldest.value)
  }

  /** All that wait; none of them begins any more. */
  giveUp(): ReadonlyArray<A> {
    return [this.#fresh, this.#others, this.#spread].flatMap((waiting) => waiting.splice(0))
  }

  #beginEvenly(one: A): void {
    if (this.#isTicking) {
      this.#spread.push(one)
      this.#perTick = Math.max(this.#perTick, Math.ceil(this.#spread.length * tickMs / spreadMs))
      return
    }
    this.#isTicking = true
    this.#perTick = 0
    Timer.after(tickMs, () => this.#tick())
    this.#beginInTurn(this.#others, one)
  }

  #tick(): void {
    const due = this.#spread.splice(0, this.#perTick)
    this.#isTicking = due.length > 0
    if (!this.#isTicking) return
    Timer.after(tickMs, () => this.#tick())
    for (const one of due) this.#beginInTurn(this.#others, one)
  }

  #beginInTurn(line: Array<A>, one: A): void {
    const isOther = line === this.#others
    if (this.#begun < atOnce && (!isOther || this.#othersBegun < othersMax)) this.#beginNow(one, isOther)
    else line.push(one)
  }

  #beginNow(one: A, isOther: boolean): void {
    if (this.#begun === 0) setImmediate(() => this.#pass())
    this.#begun += 1
    if (isOther) this.#othersBegun += 1
    this.#begin(one)
  }

  #pass(): void {
    this.#begun = 0
    this.#othersBegun = 0
    this.#beginSome(this.#others, othersMin)
    this.#beginSome(this.#fresh, atOnce - this.#begun)
    this.#beginSome(this.#others, Math.min(atOnce - this.#begun, othersMax - this.#othersBegun))
  }

  #beginSome(line: Array<A>, count: number): void {
    for (let i = 0; i < count; i++) {
      const next = line.shift()
      if (next === undefined) return
      this.#beginNow(next, line === this.#others)
    }
  }
}
