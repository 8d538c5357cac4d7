/**
 * How long attempts take, as counts in fixed classes: they can be added up over batches, hours and days, and quantiles
 * estimated from them. A class ends at about 1.41 times its beginning, so an estimate is never further off than that.
 */

/**
 * Milliseconds at which the second class begins, and each after it; the first has what took less. Counts on record were
 * made with these: a change would give them another meaning.
 */
export const bounds: ReadonlyArray<number> = [
  1,
  2,
  3,
  4,
  6,
  8,
  11,
  16,
  23,
  32,
  45,
  64,
  91,
  128,
  181,
  256,
  362,
  512,
  724,
  1_024,
  1_448,
  2_048,
  2_896,
  4_096,
  5_793,
  8_192,
  11_585,
  16_384,
  23_170,
  32_768
]

/** How many took how long, by class; classes past the longest may be left out. */
export type Counts = ReadonlyArray<number>

export const add = (one: Counts, other: Counts): Counts =>
  Array.from({ length: Math.max(one.length, other.length) }, (_, i) => (one[i] ?? 0) + (other[i] ?? 0))

/** The milliseconds within which this share of the attempts ended; null where there are none. */
export const quantile = (counts: Counts, share: number): number | null => {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  const rank = Math.max(1, Math.ceil(total * share))
  let before = 0
  for (const [i, count] of counts.entries()) {
    if (before + count >= rank) return within(i, (rank - before) / count)
    before += count
  }
  return null
}

/** A place within a class, as if its attempts were spread over it evenly; the last class has no end. */
const within = (index: number, share: number): number => {
  const from = index === 0 ? 0 : bounds[index - 1] ?? 0
  const to = bounds[index] ?? from
  // Whole milliseconds: the class ends with the last of them.
  return Math.round(from + Math.max(0, to - 1 - from) * share)
}
