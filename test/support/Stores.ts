/** Every store on a database of its own. */
import { Layer } from "effect"
import { AlertMails } from "../../src/persistence/AlertMails.ts"
import { AlertStore } from "../../src/persistence/AlertStore.ts"
import { AudienceStore } from "../../src/persistence/AudienceStore.ts"
import { AuditStore } from "../../src/persistence/AuditStore.ts"
import { Backlog } from "../../src/persistence/Backlog.ts"
import { CircuitStore } from "../../src/persistence/CircuitStore.ts"
import { ClientStore } from "../../src/persistence/ClientStore.ts"
import { DeliveryHistory } from "../../src/persistence/DeliveryHistory.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { EndpointStore } from "../../src/persistence/EndpointStore.ts"
import { EventStore } from "../../src/persistence/EventStore.ts"
import { EventTypeStore } from "../../src/persistence/EventTypeStore.ts"
import { HealingStore } from "../../src/persistence/HealingStore.ts"
import { HealthStore } from "../../src/persistence/HealthStore.ts"
import { Inventory } from "../../src/persistence/Inventory.ts"
import { Notifications } from "../../src/persistence/Notifications.ts"
import { Outbox } from "../../src/persistence/Outbox.ts"
import { Partitions } from "../../src/persistence/Partitions.ts"
import { ReadCache } from "../../src/persistence/ReadCache.ts"
import { Retention } from "../../src/persistence/Retention.ts"
import { SealedStore } from "../../src/persistence/SealedStore.ts"
import { StatsStore } from "../../src/persistence/StatsStore.ts"
import { WebhookStore } from "../../src/persistence/WebhookStore.ts"
import * as PgTest from "./PgTest.ts"

export const layer = Layer.mergeAll(
  AlertMails.layer,
  AlertStore.layer,
  AudienceStore.layer,
  AuditStore.layer,
  Backlog.layer,
  CircuitStore.layer,
  ClientStore.layer,
  DeliveryHistory.layer,
  DeliveryStore.layer,
  EndpointStore.layer,
  EventStore.layer({ idempotencyTtl: "1 day" }),
  EventTypeStore.layer,
  HealingStore.layer,
  HealthStore.layer,
  Notifications.layer,
  Outbox.layer({ payloadBytesMax: 100_000 }),
  Inventory.layer,
  Partitions.layer,
  Retention.layer,
  SealedStore.layer,
  StatsStore.layer,
  WebhookStore.layer
).pipe(Layer.provideMerge(ReadCache.layer), Layer.provideMerge(PgTest.layer))

/** For `layer(…)`: the database goes by the real clock. */
export const options = { timeout: "60 seconds", excludeTestServices: true } as const

export const everyone = { only: null }
