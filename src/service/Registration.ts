/**
 * What a client may say of its webhook, and how that becomes a definition to store: the URL and headers are guarded,
 * the secret and the headers sealed.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { ClientId, type WebhookId } from "../domain/Ids.ts"
import { Moment } from "../domain/Moment.ts"
import { Invalid, type Issue } from "../domain/Refusal.ts"
import { SignatureScheme } from "../domain/SignatureScheme.ts"
import * as Webhook from "../domain/Webhook.ts"
import type { Definition, SealedWebhook } from "../persistence/WebhookStore.ts"
import * as Secret from "../signing/Secret.ts"
import { SecretBox } from "../signing/SecretBox.ts"
import * as HeaderGuard from "../transport/HeaderGuard.ts"
import { UrlGuard } from "../transport/UrlGuard.ts"

// An object made from the record would lose this one name without a word.
const HeaderName = Schema.String.pipe(Schema.filter((name) => name !== "__proto__"))

const Headers = Schema.Record({ key: HeaderName, value: Schema.String }).annotations({
  description:
    "Sent with every delivery. Encrypted at rest; their values are never read back, but masked. A change replaces " +
    "all of them; one whose value is the mask keeps its own.",
  message: () => "expected an object of header names and values"
})

/** What may be said when a webhook is registered. */
export const NewWebhook = Schema.Struct({
  clientId: Schema.optional(ClientId),
  name: Schema.optional(Schema.NullOr(Webhook.WebhookName)),
  description: Schema.optional(Schema.NullOr(Webhook.WebhookDescription)),
  url: Schema.String,
  events: Webhook.Subscriptions,
  headers: Schema.optional(Headers),
  secretKey: Schema.optional(Secret.ChosenSecret),
  secretExpiresAt: Schema.optional(Schema.NullOr(Moment)),
  signatures: Schema.optional(Webhook.SignatureSchemes),
  retryCount: Schema.optional(Webhook.RetryCount),
  timeoutMs: Schema.optional(Webhook.TimeoutMs),
  isActive: Schema.optional(Schema.Boolean)
})
export type NewWebhook = typeof NewWebhook.Type

/** What may be changed later: what is left out stays as it is, `headers` are replaced as a whole. */
export const WebhookChanges = Schema.Struct({
  ...NewWebhook.omit("clientId", "url", "events").fields,
  url: Schema.optional(Schema.String),
  events: Schema.optional(Webhook.Subscriptions)
})
export type WebhookChanges = typeof WebhookChanges.Type

export interface RegistrationDefaults {
  readonly retryCount: number
  readonly timeoutMs: number
}

export const secretColumn = "secret"
export const previousSecretColumn = "previous_secret"
export const headersColumn = "headers"

/** The definition of a new webhook. */
export const define = (
  identity: { readonly id: WebhookId; readonly clientId: ClientId },
  input: NewWebhook,
  secret: Redacted.Redacted,
  defaults: RegistrationDefaults
) =>
  Effect.gen(function*() {
    const isActive = input.isActive ?? true
    return {
      ...identity,
      name: input.name ?? null,
      description: input.description ?? null,
      url: yield* guardUrl(input.url),
      events: input.events,
      signatures: input.signatures ?? SignatureScheme.literals,
      isActive,
      deactivationReason: isActive ? null : "owner",
      retryCount: input.retryCount ?? defaults.retryCount,
      timeoutMs: input.timeoutMs ?? defaults.timeoutMs,
      secretExpiresAt: input.secretExpiresAt ?? null,
      secretSealed: yield* sealSecret(identity, secretColumn, secret),
      ...onlySecret,
      ...(yield* Effect.flatMap(unmasked(null, input.headers ?? {}), (headers) => sealHeaders(identity, headers)))
    } satisfies Definition
  })

/** The definition of a webhook after its owner's changes. */
export const redefine = (webhook: SealedWebhook, changes: WebhookChanges) =>
  Effect.gen(function*() {
    const isActive = changes.isActive ?? webhook.isActive
    const headers = changes.headers === undefined
      ? webhook
      : yield* Effect.flatMap(unmasked(webhook, changes.headers), (headers) => sealHeaders(webhook, headers))
    const { secretKey } = changes
    // A new secret does not expire when the one before it would have.
    const expiryKept = secretKey === undefined ? webhook.secretExpiresAt : null
    const secret = secretKey === undefined
      ? Struct.pick(webhook, ...secretFields)
      : { secretSealed: yield* sealSecret(webhook, secretColumn, secretKey), ...onlySecret }
    return {
      id: webhook.id,
      clientId: webhook.clientId,
      name: changes.name === undefined ? webhook.name : changes.name,
      description: changes.description === undefined ? webhook.description : changes.description,
      url: changes.url === undefined ? webhook.url : yield* guardUrl(changes.url),
      events: changes.events ?? webhook.events,
      signatures: changes.signatures ?? webhook.signatures,
      isActive,
      deactivationReason: isActive ? null : changes.isActive === false ? "owner" : webhook.deactivationReason,
      retryCount: changes.retryCount ?? webhook.retryCount,
      timeoutMs: changes.timeoutMs ?? webhook.timeoutMs,
      secretExpiresAt: changes.secretExpiresAt === undefined ? expiryKept : changes.secretExpiresAt,
      ...secret,
      headerNames: headers.headerNames,
      headersSealed: headers.headersSealed
    } satisfies Definition
  })

const secretFields = ["secretSealed", "previousSecretSealed", "previousSecretExpiresAt"] as const

/** No rotation is under way: one secret signs, alone. */
export const onlySecret = { previousSecretSealed: null, previousSecretExpiresAt: null }

const guardUrl = (url: string) =>
  Effect.flatMap(UrlGuard, (guard) =>
    Either.match(guard.check(url), {
      onLeft: ({ code, message }) => Effect.fail(Invalid.one("url", code, message)),
      onRight: ({ url }) => Effect.succeed(url.href)
    }))

/** What is worth a second look in a URL that was accepted. */
export const warningsOf = (url: string): Effect.Effect<ReadonlyArray<Issue>, never, UrlGuard> =>
  Effect.map(UrlGuard, (guard) =>
    Either.match(guard.check(url), {
      onLeft: () => [],
      onRight: ({ mixedScripts, unicodeHost, url: { hostname } }) => mixedScripts ? [mixed(unicodeHost, hostname)] : []
    }))

const mixed = (unicodeHost: string, hostname: string): Issue => ({
  path: "url",
  code: "url_mixed_scripts",
  message: `The host ${unicodeHost} (${hostname}) mixes alphabets within a word, as look-alikes of known names do; ` +
    "make sure that it is the one you mean."
})

interface Identity {
  readonly id: WebhookId
  readonly clientId: ClientId
}

export const sealSecret = ({ clientId, id }: Identity, column: string, secret: Redacted.Redacted) =>
  Effect.flatMap(SecretBox, (box) => box.seal(secret, { clientId, webhookId: id, column }))

type HeaderValues = Readonly<Record<string, string>>

/** What was read back and sent again has the mask for a value: the value that there is stays. */
const unmasked = (webhook: SealedWebhook | null, headers: HeaderValues) =>
  Effect.gen(function*() {
    const masked = Object.keys(headers).filter((name) => headers[name] === Webhook.maskedValue)
    if (masked.length === 0) return headers
    const known = webhook === null ? {} : yield* openHeaders(webhook)
    const values = { ...headers }
    for (const name of masked) {
      const value = Object.hasOwn(known, name) ? known[name] : undefined
      if (value === undefined) return yield* maskSent(name)
      values[name] = value
    }
    return values
  })

const maskSent = (name: string) =>
  Invalid.one(
    `headers.${name}`,
    "header_value_masked",
    "this is the mask that stands for values when they are read, and there is no value yet; send the value itself"
  )

/** The custom headers of an opened box. */
export const decodeHeaders = Schema.decodeSync(
  Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.String }))
)

const openHeaders = ({ clientId, headersSealed, id }: SealedWebhook) =>
  Effect.gen(function*() {
    if (headersSealed === null) return {}
    const box = yield* SecretBox
    const opened = box.open(headersSealed, { clientId, webhookId: id, column: headersColumn })
    return decodeHeaders(Redacted.value(yield* Effect.mapError(opened, () => headersUnreadable)))
  })

const headersUnreadable = Invalid.one(
  "headers",
  "headers_unreadable",
  "the present values can't be decrypted, so none of them can be kept; send all of them"
)

const sealHeaders = ({ clientId, id }: Identity, headers: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const box = yield* SecretBox
    yield* Effect.mapError(HeaderGuard.check(headers), ({ code, message }) => Invalid.one("headers", code, message))
    const names = Object.keys(headers)
    const plain = Redacted.make(JSON.stringify(headers))
    return {
      headerNames: names,
      headersSealed: names.length === 0
        ? null
        : yield* box.seal(plain, { clientId, webhookId: id, column: headersColumn })
    }
  })
