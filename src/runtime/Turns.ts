/**
 * Attempts begin a few at a time, with a turn of the event loop between them. Each costs the processor a millisecond or
 * more, for signing, dialling, a TLS handshake; many that begin at once would keep whoever publishes, and every answer that
 * comes, waiting for all of them. Who goes first is heard first.
 */
import * as Effect from "effect/Effect"

/** In one turn of the loop: as many as take less time than a turn's own cost would be noticed in. */
const atOnce = 4

type Resume = (effect: Effect.Effect<void>) => void

/** Waits for a turn; at once where nobody has the present one. */
export type TakeTurn = (isFirst: boolean) => Effect.Effect<void>

export const make = (): TakeTurn => {
  const first: Array<Resume> = []
  const others: Array<Resume> = []
  let begun = 0

  const pass = (): void => {
    begun = 0
    while (begun < atOnce) {
      const next = first.shift() ?? others.shift()
      if (next === undefined) break
      begin()
      next(Effect.void)
    }
  }

  const begin = (): void => {
    if (begun === 0) setImmediate(pass)
    begun += 1
  }

  return (isFirst) =>
    Effect.suspend(() => {
      if (begun === atOnce) return Effect.async((resume: Resume) => void (isFirst ? first : others).push(resume))
      begin()
      return Effect.void
    })
}
