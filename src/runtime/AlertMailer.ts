/**
 * Mails alerts to the clients that have an address for them, at least once: what could not be sent is put off, longer each
 * time, for as long as it is news. A client's alerts of one round go in one mail.
 */
import * as Array from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { AlertMails } from "../persistence/AlertMails.ts"
import * as AlertMail from "../service/AlertMail.ts"
import { Mailer } from "../transport/Mailer.ts"
import { Supervisor } from "./Supervisor.ts"

export const layer = (options: { readonly interval: Duration.DurationInput }) =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      const mails = yield* AlertMails
      const mailOne = yield* makeMailOne
      const supervisor = yield* Supervisor

      const round = Effect.gen(function*() {
        const givenUp = yield* mails.skip
        if (givenUp > 0) {
          yield* Effect.logError("alerts were not mailed within days and are given up", { count: givenUp })
        }
        yield* Effect.repeat(mailOne, { while: (again) => again })
      }).pipe(
        Effect.catchTag(
          "PersistenceError",
          (error) => Effect.logWarning("mailing alerts failed, the next round tries again", error)
        ),
        Effect.withTracerEnabled(false)
      )
      yield* supervisor.supervise(
        "AlertMailer",
        Effect.repeat(round, Schedule.spaced(options.interval)).pipe(Effect.zipRight(Effect.never))
      )
    })
  )

/** Mails what one client is owed; answers whether there may be more to mail now. */
const makeMailOne = Effect.gen(function*() {
  const mails = yield* AlertMails
  const mailer = yield* Mailer

  return Effect.gen(function*() {
    const owed = yield* mails.claim
    if (!Array.isNonEmptyReadonlyArray(owed)) return false
    const { clientId, to } = Array.headNonEmpty(owed)
    return yield* mailer.send(AlertMail.compose({ clientId, to, alerts: owed })).pipe(
      Effect.zipRight(mails.sent(owed.map(({ id }) => id))),
      Effect.as(true),
      Effect.catchTags({
        // Another client's may be taken.
        MailRefused: ({ message }) =>
          Effect.as(Effect.logWarning(`a mail was refused: ${message}`, { clientId }), true),
        MailServerAway: ({ message }) => Effect.as(Effect.logWarning(`no mail could be sent: ${message}`), false)
      })
    )
  })
})
