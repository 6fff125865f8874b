// Health of the node in this container, by its admin listener: exit code 0 while it lives.
//
//   node scripts/healthcheck.mjs [URL of the admin listener]
const url = process.argv[2] ?? 'http://127.0.0.1:9101'

try {
  const answer = await fetch(`${url}/livez`, { signal: AbortSignal.timeout(4_000) })
  process.stdout.write(await answer.text())
  process.exitCode = answer.ok ? 0 : 1
} catch (err) {
  process.stdout.write(`${url}: ${err.cause?.message ?? err.message}\n`)
  process.exitCode = 1
}
