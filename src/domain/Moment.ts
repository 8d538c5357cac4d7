/** A moment as clients write it: RFC 3339, or its date alone. Without an offset it is UTC. */
import * as Schema from "effect/Schema"

// Four digits of year: what is further away has no place in a timestamp of Postgres, or in a UUIDv7.
const spelling = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$/

const message = () => "expected a moment like 2025-02-20T09:34:00Z"

export const Moment = Schema.compose(
  Schema.String.pipe(Schema.pattern(spelling, { message })),
  // Spelt like one, and yet none: 2025-02-30.
  Schema.DateTimeUtc.annotations({ message })
)
