/** One line of a drill's table. Where there is a goal, `met` says whether it was reached. */
export interface Finding {
  readonly what: string
  readonly found: string
  readonly goal?: string
  readonly met?: boolean
}

/** A finding of which there must be none. */
export const none = (what: string, count: number): Finding => ({
  what,
  found: String(count),
  goal: "none",
  met: count === 0
})

/** A finding with a bound. */
export const atMost = (what: string, seconds: number, most: number): Finding => ({
  what,
  found: `${seconds.toFixed(1)} s`,
  goal: `at most ${most} s`,
  met: seconds <= most
})
