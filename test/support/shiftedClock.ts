/** Preloaded into a process: its clock is off by CLOCK_SHIFT_MS, its monotonic time is not. */
import { env } from "node:process"

const shiftMs = Number(env["CLOCK_SHIFT_MS"])
const RealDate = Date
const realNow = Date.now.bind(Date)
const now = () => realNow() + shiftMs

globalThis.Date = class extends RealDate {
  constructor(...given: ReadonlyArray<unknown>) {
    super(...(given.length === 0 ? [now()] : given) as [number])
  }
  static override now = now
} as DateConstructor
