/** Which of the processes on one database this is. */
import { randomBytes } from "node:crypto"
import { hostname } from "node:os"
import { version } from "./Version.ts"

/** Unlike that of any other, also of one before it in the same place. */
export const nodeId = `${hostname()}-${process.pid}-${randomBytes(3).toString("hex")}`

/** Unix milliseconds. */
export const startedAt = Math.round(performance.timeOrigin)

/** Where `OTEL_SERVICE_NAME` gives no other. */
export const serviceName = "deeper-hub-webhooks"

/** What telemetry says of where it comes from, beside the service's name. */
export const identity = { "service.version": version, "service.instance.id": nodeId }
