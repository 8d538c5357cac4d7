/**
 * How far the heap grows between two collections. V8 collects one of a hundred megabytes again once it is a third larger,
 * which is every few seconds where many deliveries are under way. It marks on every core that there is, and whoever has an
 * event on its way just then waits for a tenth of a second. A heap that may double is collected a few times less often.
 */
import * as Effect from "effect/Effect"
import { setFlagsFromString } from "node:v8"

/** For the process that is ours alone; whoever embeds the service has a heap of his own to decide on. */
export const letGrow = Effect.sync(() => setFlagsFromString("--heap-growing-percent=100"))
