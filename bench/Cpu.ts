/** What processes cost, as Linux accounts for it; nothing is known elsewhere. */
import { readdirSync, readFileSync } from "node:fs"

const ticksPerSecond = 100

interface Accounts {
  readonly parent: number
  /** CPU seconds of its own, and of the children that it has seen end. */
  readonly own: number
  readonly reaped: number
}

const accounts = (pid: number): Accounts | null => {
  const stat = read(`/proc/${pid}/stat`)
  if (stat === null) return null
  // The second field is the program's name in brackets and may hold blanks and brackets itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number)
  const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15)
  return { parent: fields[1] ?? 0, own: (utime + stime) / ticksPerSecond, reaped: (cutime + cstime) / ticksPerSecond }
}

const read = (file: string): string | null => {
  try {
    return readFileSync(file, "utf8")
  } catch {
    return null
  }
}

const childrenOf = (pid: number): ReadonlyArray<number> =>
  readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number)
    .filter((child) => accounts(child)?.parent === pid)

/** CPU seconds of a process and its children so far, the ended ones included; NaN where nothing is known. */
export const seconds = (pid: number): number => {
  const own = accounts(pid)
  if (own === null) return Number.NaN
  return childrenOf(pid).reduce((sum, child) => sum + (accounts(child)?.own ?? 0), own.own + own.reaped)
}

/** Resident memory of a process in MiB, now and at most so far; NaN where nothing is known. */
export const memoryMiB = (pid: number): { readonly now: number; readonly peak: number } => {
  const status = read(`/proc/${pid}/status`) ?? ""
  const mebibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]) / 1_024
  return { now: mebibytes("VmRSS"), peak: mebibytes("VmHWM") }
}
