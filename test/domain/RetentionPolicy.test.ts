import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { type DayPartition, type PartitionTable, plan, type Step } from "../../src/domain/RetentionPolicy.ts"

const tables = ["deliveries", "attempts", "events"] as const
const states = ["attached", "attached", "attached", "detaching", "detached"] as const

/** Some days of one table, each once, dropped halfway here and there. */
const daysOf = (table: PartitionTable) =>
  FastCheck.uniqueArray(
    FastCheck.record({
      table: FastCheck.constant(table),
      age: FastCheck.integer({ min: -3, max: 12 }),
      state: FastCheck.constantFrom<DayPartition["state"]>(...states)
    }),
    { selector: ({ age }) => age, maxLength: 16 }
  )

const partitions: FastCheck.Arbitrary<ReadonlyArray<DayPartition>> = FastCheck.tuple(...tables.map(daysOf)).chain(
  (days) => FastCheck.shuffledSubarray(days.flat(), { minLength: days.flat().length })
)
const waitingAges = FastCheck.uniqueArray(FastCheck.integer({ min: -3, max: 12 }), { maxLength: 5 })
const retentionDays = FastCheck.integer({ min: 1, max: 8 })

const planned = (all: ReadonlyArray<DayPartition>, ages: ReadonlyArray<number>, days: number) =>
  plan(all, { days, isWaiting: ({ age, table }) => table === "deliveries" && ages.includes(age) })

const dropped = (steps: ReadonlyArray<Step<DayPartition>>) =>
  steps.filter(({ action }) => action === "drop").map(({ partition }) => partition)

/** What is there once all of it is done. */
const carryOut = (all: ReadonlyArray<DayPartition>, steps: ReadonlyArray<Step<DayPartition>>) => {
  const gone = new Set(dropped(steps))
  return all.filter((partition) => !gone.has(partition)).map(({ age, table }): DayPartition => ({
    table,
    age,
    state: "attached"
  }))
}

describe("RetentionPolicy.plan", () => {
  it.prop("drops no day that is not past the retention as a whole", [partitions, waitingAges, retentionDays], ([
    all,
    ages,
    days
  ]) => {
    for (const { age } of dropped(planned(all, ages, days))) assert.isAbove(age, days)
  })

  it.prop("drops no deliveries that wait", [partitions, waitingAges, retentionDays], ([all, ages, days]) => {
    for (const { age, table } of dropped(planned(all, ages, days))) {
      if (table === "deliveries") assert.notInclude(ages, age)
    }
  })

  it.prop(
    "keeps the attempts of a day of deliveries that stays, and the events of that day and of the one before",
    [partitions, waitingAges, retentionDays],
    ([all, ages, days]) => {
      const steps = planned(all, ages, days)
      const staying = carryOut(all, steps).filter(({ table }) => table === "deliveries").map(({ age }) => age)
      for (const { age, table } of dropped(steps)) {
        if (table === "attempts") assert.notInclude(staying, age)
        if (table === "events") assert.isFalse(staying.includes(age) || staying.includes(age - 1))
      }
    }
  )

  it.prop("drops everything that is past the retention where nothing waits", [partitions, retentionDays], ([
    all,
    days
  ]) => {
    const left = carryOut(all, planned(all, [], days))
    const deliveriesOf = new Set(left.filter(({ table }) => table === "deliveries").map(({ age }) => age))
    for (const { age, table } of left) {
      if (age > days) assert.isTrue(table === "events" && deliveriesOf.has(age - 1), `${table} of ${age} days ago`)
    }
  })

  it.prop("goes from deliveries to events, the oldest day first", [partitions, waitingAges, retentionDays], ([
    all,
    ages,
    days
  ]) => {
    const order = planned(all, ages, days).map(({ partition: { age, table } }) => tables.indexOf(table) * 100 - age)
    assert.deepStrictEqual(order, order.toSorted((a, b) => a - b))
  })

  it.prop("ends what was begun, one way or the other, and then has nothing left to do", [
    partitions,
    waitingAges,
    retentionDays
  ], ([all, ages, days]) => {
    const steps = planned(all, ages, days)
    const touched = steps.map(({ partition }) => partition)
    assert.strictEqual(new Set(touched).size, touched.length)
    assert.includeMembers(touched, all.filter(({ state }) => state !== "attached"))
    for (const { action, partition } of steps) assert.isTrue(action === "drop" || partition.state !== "attached")
    assert.deepStrictEqual(planned(carryOut(all, steps), ages, days), [])
  })
})
