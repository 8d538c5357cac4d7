/** What is to be seen while the day goes by, and what the numbers were: lines made from the ledger, and nothing else. */
import type { State } from "./Ledger.ts"
import { bold, cyan, dim, green, type Line, red, yellow } from "./Screen.ts"
import { schemes } from "./Signatures.ts"
import { type StoryEvent, wallClock } from "./Story.ts"

export interface Moment {
  readonly story: ReadonlyArray<StoryEvent>
  readonly elapsedMs: number
}

const barWidth = 42

export const board = (state: State, moment: Moment): ReadonlyArray<Line> => [
  [],
  progress(state, moment),
  [],
  ...table(state),
  [],
  attempts(state),
  checks(state),
  [],
  [dim("  Lately at the ERP")],
  ...lately(state)
]

/** The same in one line, where nothing can be redrawn. */
export const line = (state: State, { story }: Moment): Line => {
  const statuses = Array.from(state.statuses.values(), ({ status }) => status)
  const count = (wanted: string) => statuses.filter((status) => status === wanted).length
  return [
    `  ${timeOf(state, story)}  ${state.told.size} of ${story.length} events, `,
    `${count("delivered")} delivered, ${count("failed_retryable")} to retry`
  ]
}

/** Of the last event published: on a busy machine the day takes longer. */
const timeOf = ({ told }: State, story: Moment["story"]): string => wallClock(story[told.size - 1]?.second ?? 0)

const progress = (state: State, { elapsedMs, story }: Moment): Line => {
  const done = state.told.size / story.length
  const full = Math.round(done * barWidth)
  return [
    "  ",
    bold(timeOf(state, story)),
    "  ",
    cyan("█".repeat(full)),
    dim("░".repeat(barWidth - full)),
    `  ${String(state.told.size).padStart(String(story.length).length)} of ${story.length} events`,
    dim(`  ${(elapsedMs / 1_000).toFixed(0)} s`)
  ]
}

const columns = [["delivered", green], ["failed_retryable", yellow], ["pending", cyan], [
  "failed_permanent",
  red
]] as const
const headings: Record<(typeof columns)[number][0], string> = {
  delivered: "delivered",
  failed_retryable: "to retry",
  pending: "pending",
  failed_permanent: "failed"
}

/** Deliveries by webhook and status. */
const table = (state: State): ReadonlyArray<Line> => [
  [dim(`  ${"Webhook".padEnd(12)} ${"wants".padEnd(26)}${columns.map(([s]) => headings[s].padStart(9)).join(" ")}`)],
  ...state.registrations.map(({ subscriber, webhookId }): Line => {
    const mine = Array.from(state.statuses.values()).filter((delivery) => delivery.webhookId === webhookId)
    return [
      "  ",
      bold(subscriber.name.padEnd(12)),
      ` ${subscriber.events.join(", ").padEnd(26)}`,
      ...columns.flatMap(([status, color], i) => {
        const count = mine.filter((delivery) => delivery.status === status).length
        const text = `${i === 0 ? "" : " "}${String(count).padStart(9)}`
        return [count === 0 ? dim(text) : color(text)]
      })
    ]
  })
]

const outcomes = [["2xx", "accepted", green], ["5xx", "503", yellow], ["timeout", "timed out", yellow], [
  "network",
  "reset",
  yellow
]] as const

/** Attempts by outcome, as the service counts them. */
export const attempts = (state: State): Line => [
  dim("  Attempts    "),
  ...outcomes.flatMap(([group, name, color]) => [color(String(state.attempts.get(group) ?? 0)), ` ${name}   `]),
  ...Array.from(state.attempts).filter(([group]) => !outcomes.some(([known]) => known === group)).flatMap((
    [group, count]
  ) => [red(String(count)), ` ${group}   `])
]

/** What the receivers found. */
export const checks = ({ arrivals }: State): Line => {
  const wrong = arrivals.reduce((sum, arrival) => sum + arrival.wrong.length, 0)
  return [
    dim("  Signatures  "),
    green(String(arrivals.length * schemes.length - wrong)),
    " right   ",
    (wrong === 0 ? dim : red)(String(wrong)),
    ` wrong   in ${arrivals.length} requests, three schemes each`
  ]
}

const latelyMax = 4

const lately = ({ arrivals, registrations }: State): ReadonlyArray<Line> => {
  const flaky = registrations.find(({ subscriber }) => subscriber.flaky)?.webhookId
  const there = arrivals.filter(({ webhookId }) => webhookId === flaky)
  const tries = new Map<string, number>()
  const lines = there.flatMap(({ answer, eventType, says: { deliveryId } }): ReadonlyArray<Line> => {
    const number = (tries.get(deliveryId) ?? 0) + 1
    tries.set(deliveryId, number)
    if (answer === "accepted" && number === 1) return []
    const what = answer === "accepted" ? green(`accepted on attempt ${number}`) : yellow(troubles[answer])
    return [["  ", eventType.padEnd(20), dim(deliveryId.slice(-6)), "  ", what]]
  })
  const last = lines.slice(-latelyMax)
  return [...last, ...Array.from({ length: latelyMax - last.length }, (): Line => [])]
}

const troubles = { busy: "answered 503", slow: "did not answer in time", reset: "cut the connection" } as const
