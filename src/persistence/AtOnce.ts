/**
 * What a ReadCache answers, and what is made of it: mostly there at once, from memory. A step of the interpreter costs half a
 * microsecond, and an event takes many on its way: who has the fiber at hand spares those that would wait for nothing.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

type InFiber<A, E> = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => Effect.Effect<A, E>

/** An effect, and what it is within a fiber: an Exit where the answer is there. */
export interface AtOnce<A, E> extends Effect.Effect<A, E> {
  readonly inFiber: InFiber<A, E>
}

export const atOnce = <A, E>(inFiber: InFiber<A, E>): AtOnce<A, E> =>
  Object.assign(Effect.withFiberRuntime(inFiber), { inFiber })

/** `Effect.flatMap`, at once where what it waits for is there. */
export const goOn = <A, E, B, E2>(
  self: Effect.Effect<A, E>,
  next: (a: A) => Effect.Effect<B, E2>
): Effect.Effect<B, E | E2> => isThere(self) ? next(self.value) : Effect.flatMap(self, next)

/** Whether there is nothing to wait for. */
export const isThere = <A, E>(self: Effect.Effect<A, E>): self is Exit.Success<A, never> =>
  Exit.isExit(self) && Exit.isSuccess(self)
