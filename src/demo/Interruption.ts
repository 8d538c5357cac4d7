/** Leaving early, in good order: whatever ends the story, the service stops and its database goes. */
import * as Effect from "effect/Effect"

const ignored = ["SIGINT", "SIGTERM"] as const
const ignore = () => {}

/**
 * The first Ctrl-C interrupts the program. Until its clearing up is done, more of them change nothing: npm and tsx pass
 * the signal on that the terminal has sent already, and an impatient second one would leave a Postgres behind.
 */
export const onlyOnce = Effect.acquireRelease(
  Effect.sync(() => {
    for (const signal of ignored) process.on(signal, ignore)
  }),
  () =>
    Effect.sync(() => {
      for (const signal of ignored) process.off(signal, ignore)
    })
)

/** Interrupts when the terminal goes away. */
export const whenHungUp: Effect.Effect<never> = Effect.async((resume) => {
  const hangUp = () => resume(Effect.interrupt)
  process.once("SIGHUP", hangUp)
  return Effect.sync(() => process.off("SIGHUP", hangUp))
})
