/** A moment as clients write it: RFC 3339, or its date alone, without an offset in UTC. And as we write it. */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"

// Four digits of year: what is further away has no place in a timestamp of Postgres, or in a UUIDv7.
const spelling =
  /^(\d{4})-(0[1-9]|1[0-2])-(\d\d)(T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?$/

/** JavaScript's dates would take the thirtieth of February for a day in March. */
const isOnCalendar = (text: string): boolean => {
  const [, year, month, day] = spelling.exec(text) ?? []
  return Number(day) >= 1 && Number(day) <= daysIn(Number(year), Number(month))
}

const daysIn = (year: number, month: number): number => {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return [4, 6, 9, 11].includes(month) ? 30 : 31
}

export const Moment = Schema.compose(
  Schema.String.pipe(
    Schema.pattern(spelling, { message: () => "expected a moment like 2025-02-20T09:34:00Z" }),
    Schema.filter(isOnCalendar, { message: () => "expected a day that the calendar has" })
  ),
  Schema.DateTimeUtc
)

// Most of what is written in a row is of one millisecond.
let latest = { millis: 0, text: "1970-01-01T00:00:00.000Z" }

/** The same as `DateTime.formatIso`: RFC 3339 in UTC, with milliseconds. */
export const write = (moment: DateTime.Utc): string => {
  if (latest.millis !== moment.epochMillis) latest = { millis: moment.epochMillis, text: DateTime.formatIso(moment) }
  return latest.text
}
