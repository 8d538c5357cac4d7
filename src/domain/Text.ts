/** Text as Postgres keeps it: every character but U+0000, and no half of a surrogate pair. */
import * as Schema from "effect/Schema"

export const Text = Schema.String.pipe(
  Schema.pattern(/^[^\u0000\ud800-\udfff]*$/u, {
    message: () => "expected well-formed text without the character U+0000"
  })
)
