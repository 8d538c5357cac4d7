/**
 * Which day partitions may go. A day of deliveries goes when all of it is past the retention and nothing in it waits any
 * more; its attempts go with it. Events go last, and a day later than their deliveries: a delivery's id is made after its
 * event's, so the last events of a day have theirs in the next.
 */

export type PartitionTable = "attempts" | "deliveries" | "events"

export interface DayPartition {
  readonly table: PartitionTable
  /** Days since this one, by UTC: 0 is today's, and those made ahead are negative. */
  readonly age: number
  /** `detaching` and `detached`: somebody began to drop it, and did not come to the end. */
  readonly state: "attached" | "detaching" | "detached"
}

export interface Step<P extends DayPartition> {
  /** `restore`: dropping it was begun, and is not wanted any more. */
  readonly action: "drop" | "restore"
  readonly partition: P
}

export interface Retention<P extends DayPartition> {
  readonly days: number
  /** Whether a delivery of this day of deliveries still waits. */
  readonly isWaiting: (partition: P) => boolean
}

/** Whether the whole day is past the retention. */
export const isPast = (partition: DayPartition, retentionDays: number): boolean => partition.age > retentionDays

/** What is to be done, in the order in which it has to be: deliveries first, and the oldest day first. */
export const plan = <P extends DayPartition>(
  partitions: ReadonlyArray<P>,
  retention: Retention<P>
): ReadonlyArray<Step<P>> => {
  const of = (table: PartitionTable) =>
    partitions.filter((partition) => partition.table === table).toSorted((a, b) => b.age - a.age)
  const deliveries = of("deliveries")
  const past = (partition: P) => isPast(partition, retention.days)
  const goes = (partition: P) => past(partition) && !retention.isWaiting(partition)
  const staying = new Set(deliveries.filter((partition) => !goes(partition)).map(({ age }) => age))

  return [
    ...steps(deliveries, goes),
    ...steps(of("attempts"), (partition) => past(partition) && !staying.has(partition.age)),
    ...steps(
      of("events"),
      (partition) => past(partition) && !staying.has(partition.age) && !staying.has(partition.age - 1)
    )
  ]
}

const steps = <P extends DayPartition>(
  partitions: ReadonlyArray<P>,
  goes: (partition: P) => boolean
): ReadonlyArray<Step<P>> =>
  partitions.flatMap((partition): ReadonlyArray<Step<P>> => {
    if (goes(partition)) return [{ action: "drop", partition }]
    return partition.state === "attached" ? [] : [{ action: "restore", partition }]
  })
