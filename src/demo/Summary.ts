/** The day in numbers, for the end. */
import * as Board from "./Board.ts"
import type { State } from "./Ledger.ts"
import { dim, type Line } from "./Screen.ts"
import { type StoryEvent, wallClock } from "./Story.ts"
import { wantedBy } from "./Subscribers.ts"

export const summary = (
  state: State,
  story: ReadonlyArray<StoryEvent>,
  { elapsedMs, isLive }: { readonly elapsedMs: number; readonly isLive: boolean }
): ReadonlyArray<Line> => {
  const again = Array.from(state.told.values()).reduce((sum, told) => sum + told.length - 1, 0)
  const unwanted = story.filter(({ eventType }) => wantedBy(eventType).length === 0).length
  const wanted = story.reduce((sum, { eventType }) => sum + wantedBy(eventType).length, 0)
  const delivered = state.recorded.filter(({ status }) => status === "delivered")
  const retried = delivered.filter(({ attempts }) => attempts > 1).length
  const hours = story.length === 0
    ? ""
    : `, ${wallClock(story[0]?.second ?? 0)} to ${wallClock(story.at(-1)?.second ?? 0)}`
  return [
    [
      dim("  Published   "),
      `${state.told.size} of ${story.length} events${hours}, ${again} of them twice with one key`
    ],
    [
      dim("  Wanted      "),
      `${wanted} deliveries to ${state.registrations.length} webhooks; ${unwanted} events that nobody asked for`
    ],
    [dim("  Delivered   "), `${delivered.length}, of which ${retried} took more than one attempt`],
    // A board says these already, and stays.
    ...(isLive ? [] : [Board.attempts(state), Board.checks(state)]),
    [dim("  Took        "), `${(elapsedMs / 1_000).toFixed(1)} s`]
  ]
}
