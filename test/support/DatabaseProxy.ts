/** Stands between the service and the test file's database. */
import { Context, Effect, Layer } from "effect"
import * as PgTest from "./PgTest.ts"
import * as TcpProxy from "./TcpProxy.ts"

export class DatabaseProxy extends Context.Tag("deeper-hub-webhooks/test/support/DatabaseProxy")<
  DatabaseProxy,
  TcpProxy.TcpProxy
>() {
  static readonly layer = Layer.scoped(this, Effect.flatMap(PgTest.url, TcpProxy.make))
}
