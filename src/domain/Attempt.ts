/** One HTTP try of a delivery, as it was seen on the wire. */
import * as Schema from "effect/Schema"

/**
 * What passed between us and the receiver, as far as it came. Success and failure both carry it: the history shows
 * what was seen, whatever it meant.
 */
export const Exchange = Schema.Struct({
  /** Unix milliseconds at which the attempt began. */
  startedAt: Schema.Number,
  /** Whole milliseconds from the DNS question to the end of what was read. */
  durationMs: Schema.Int,
  /** The address that was dialled, without the port; null where no connection was made. */
  peerAddress: Schema.NullOr(Schema.String),
  /** The status line's code; null where none arrived. */
  status: Schema.NullOr(Schema.Int),
  /** Response headers, lower-case names; a repeated header's values are joined by ", ". */
  headers: Schema.Record({ key: Schema.String, value: Schema.String }),
  /** The first bytes of the response body (at most 16 KB), undecoded. */
  body: Schema.Uint8ArrayFromSelf,
  /** The response had more body than was kept. */
  bodyTruncated: Schema.Boolean,
  /** Why the body broke after the status line, where it did. A note, not a failure. */
  bodyError: Schema.NullOr(Schema.String),
  /** Unix milliseconds at which the certificate that the peer showed ends; null where it showed none. */
  certificateExpiresAt: Schema.NullOr(Schema.Number)
})
export interface Exchange extends Schema.Schema.Type<typeof Exchange> {}

/** The exchange of an attempt of which nothing reached the wire. */
export const unsent = (startedAt: number): Exchange => ({
  startedAt,
  durationMs: 0,
  peerAddress: null,
  status: null,
  headers: {},
  body: new Uint8Array(),
  bodyTruncated: false,
  bodyError: null,
  certificateExpiresAt: null
})
