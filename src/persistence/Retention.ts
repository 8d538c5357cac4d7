/**
 * Drops the day partitions that are past the retention.
 *
 * A partition is detached first, which waits for those who are at work on its table and lets everybody else pass. Then
 * nobody reaches it any more, so whether it is still needed can be asked for good: somebody may have had an old delivery
 * sent again meanwhile, and then it is attached again. Whatever is interrupted stands in the catalogue, and the next
 * round goes on from there.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { isPast, plan, type Step } from "../domain/RetentionPolicy.ts"
import * as DayPartitions from "./DayPartitions.ts"
import * as OwnConnection from "./OwnConnection.ts"
import { PersistenceError } from "./Postgres.ts"

export type RetentionChange = Data.TaggedEnum<{
  /** Past the retention, and kept: so many deliveries still wait in it, or more where it is `waitingMax`. */
  Kept: { readonly day: string; readonly waiting: number }
  Dropped: { readonly table: DayPartitions.Partition["table"]; readonly day: string }
  /** It was detached already, and is needed: everything in it is there again. */
  Restored: { readonly table: DayPartitions.Partition["table"]; readonly day: string }
}>
const RetentionChange = Data.taggedEnum<RetentionChange>()

/** Short: behind a lock that is waited for, others wait too. What takes longer is tried again in the next round. */
const bounds = { name: "retention", lockTimeoutMs: 2_000, statementTimeoutMs: 10_000 }

export class Retention extends Context.Tag("deeper-hub-webhooks/persistence/Retention")<Retention, {
  /**
   * Drops what is past so many days, and tells what it did as it does it. Does nothing while another node is at it;
   * fails with the first partition that could not be dropped now.
   */
  readonly enforce: (days: number) => Stream.Stream<RetentionChange, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const pg = yield* PgClient.PgClient
      const sql = yield* SqlClient.SqlClient
      return Retention.of({
        enforce: (days) =>
          Stream.unwrapScoped(
            Effect.gen(function*() {
              const connection = yield* OwnConnection.acquire(pg, bounds)
              return (yield* isAlone(connection)) ? yield* enforce(sql, connection, days) : Stream.empty
            }).pipe(PersistenceError.refail("Retention.enforce"))
          )
      })
    })
  )
}

/** Whether no other node is at it; none begins before the connection ends. */
const isAlone = (connection: OwnConnection.OwnConnection) =>
  Effect.map(
    connection.execute("SELECT WHERE pg_try_advisory_lock(hashtext('deeper_hub_webhooks.retention'))"),
    (rows) => rows.length > 0
  )

const enforce = (sql: SqlClient.SqlClient, connection: OwnConnection.OwnConnection, days: number) =>
  Effect.gen(function*() {
    const partitions = yield* DayPartitions.list(sql)
    const waiting = new Map<DayPartitions.Partition, number>()
    for (const partition of partitions) {
      if (partition.table !== "deliveries" || !isPast(partition, days)) continue
      waiting.set(partition, yield* DayPartitions.waitingIn(sql, partition))
    }
    const isWaiting = (partition: DayPartitions.Partition) => (waiting.get(partition) ?? 0) > 0
    const kept = Array.from(waiting).filter(([partition]) => isWaiting(partition)).map(([{ day }, count]) =>
      RetentionChange.Kept({ day, waiting: count })
    )
    const carryOut = makeCarryOut(sql, connection)
    const changes = Stream.fromIterable(plan(partitions, { days, isWaiting })).pipe(
      Stream.mapEffect(carryOut),
      Stream.filterMap((change) => change)
    )
    return Stream.concat(Stream.fromIterable<RetentionChange>(kept), changes)
  })

const makeCarryOut = (sql: SqlClient.SqlClient, connection: OwnConnection.OwnConnection) => {
  const needed = (partition: DayPartitions.Partition) => DayPartitions.isNeeded(sql, partition)
  return ({ action, partition }: Step<DayPartitions.Partition>) =>
    Effect.gen(function*() {
      const { day, table } = partition
      const statements = DayPartitions.statements(partition)
      if (partition.state === "attached") {
        if (yield* needed(partition)) return Option.none<RetentionChange>()
        yield* connection.execute(statements.mark)
        yield* connection.execute(statements.detach)
      }
      if (partition.state === "detaching") yield* connection.execute(statements.finishDetaching)
      if (action === "restore" || (yield* needed(partition))) {
        yield* connection.execute(statements.attach)
        yield* connection.execute(statements.unmark)
        return Option.some(RetentionChange.Restored({ table, day }))
      }
      yield* connection.execute(statements.drop)
      return Option.some(RetentionChange.Dropped({ table, day }))
    }).pipe(Effect.catchTags({
      // Others may change the catalogue as well: a table that is gone, or has become another, is no bug.
      SqlError: (cause) => new PersistenceError({ operation: `Retention.enforce of ${partition.name}`, cause }),
      ParseError: Effect.die
    }))
}
