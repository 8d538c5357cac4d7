/** One e-mail address, without a name: as HTML's `<input type="email">` knows it, within the lengths of RFC 5321. */
import * as Schema from "effect/Schema"

const label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
// No quotes, commas, brackets, spaces or line breaks: nothing that a mail's header could read as more than one address.
const pattern = new RegExp(`^[A-Za-z0-9.!#$%&'*+/=?^_\`{|}~-]{1,64}@${label}(\\.${label})*$`)

export const EmailAddress = Schema.String.pipe(
  Schema.pattern(pattern, { message: () => "expected an e-mail address like ops@example.com" }),
  Schema.maxLength(254, { message: () => "expected at most 254 characters" }),
  Schema.brand("EmailAddress"),
  Schema.annotations({ identifier: "EmailAddress", examples: ["ops@example.com" as never] })
)
export type EmailAddress = typeof EmailAddress.Type
