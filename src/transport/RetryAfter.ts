/** How long a receiver asks us to wait (RFC 9110, 10.2.3). */

const seconds = /^\d{1,15}$/

/** The three spellings of an HTTP-date. Date.parse alone takes far more, such as "-5". */
const dates = [
  /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/,
  /^[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/,
  /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/
]

/** Milliseconds from `now`, as asked and unclamped; null for what is missing, past or no such value. */
export const parseRetryAfter = (value: string | null, now: number): number | null => {
  const text = value?.trim() ?? ""
  if (seconds.test(text)) return Number(text) * 1_000
  if (!dates.some((date) => date.test(text))) return null
  const at = Date.parse(text.endsWith("GMT") ? text : `${text} GMT`)
  return Number.isFinite(at) && at > now ? at - now : null
}
