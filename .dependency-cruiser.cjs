// Data flows one way: each folder may import only what stands before it, and siblings in one step don't know each other.
const steps = ["domain", "telemetry", "persistence|signing|transport", "service", "runtime", "api"]
const above = (i) => ["demo", "index", "main", "App", "AppConfig", "FirstBoot", "Heap", "Serve", "StartFailure", "StopSignals", "UnknownSettings", ...steps.slice(i + 1)]

module.exports = {
  forbidden: [
    { name: "no-cycle", severity: "error", from: {}, to: { circular: true } },
    {
      name: "domain-is-pure",
      severity: "error",
      from: { path: "^src/domain/" },
      to: { path: "node_modules", pathNot: "node_modules/effect/" }
    },
    { name: "domain-without-node", severity: "error", from: { path: "^src/domain/" }, to: { dependencyTypes: ["core"] } },
    {
      name: "sql-in-persistence-only",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/persistence/" },
      to: { path: "node_modules/(@effect/sql|@effect/sql-pg|pg)/" }
    },
    { name: "no-test-in-src", severity: "error", from: { path: "^src/" }, to: { path: "^(test|bench)/" } },
    {
      name: "demo-from-main-only",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(demo/|main\\.ts$)" },
      to: { path: "^src/demo/" }
    },
    ...steps.map((names, i) => ({
      name: `no-upward-import-from-${names}`,
      severity: "error",
      from: { path: `^src/(${names})/` },
      to: { path: `^src/(${above(i).join("|")})(/|\\.ts$)` }
    })),
    {
      name: "no-sibling-import",
      severity: "error",
      from: { path: "^src/(persistence|signing|transport)/" },
      to: { path: "^src/(persistence|signing|transport)/", pathNot: "^src/$1/" }
    }
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" }
  }
}
