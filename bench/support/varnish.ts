// Varnish as a live edge would set it up, in memory and without TLS, which it leaves to others.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'
import { until } from '../../test/support/until.ts'
import { type BenchServer, serverCore } from './bench-server.ts'
import { runCommand, startCommand, stop } from './processes.ts'
import { requiredPath } from './tools.ts'

export interface RunningVarnish extends AsyncDisposable {
  server: BenchServer
}

export async function startVarnish(originPort: number): Promise<RunningVarnish> {
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-bench-varnish-'))
  const port = await freePort()
  const file = join(folder, 'cache.vcl')
  writeFileSync(file, vcl(originPort))
  // Says what is wrong with it; when it runs, its words are of no interest.
  const executable = requiredPath('varnishd')
  const work = ['-n', join(folder, 'work')]
  await runCommand(serverCore, [executable, '-C', '-j', 'none', ...work, '-f', file])
  const command = [
    ...[executable, '-F', '-j', 'none', ...work],
    ...['-a', `127.0.0.1:${port}`, '-T', 'none', '-f', file, '-s', 'malloc,512m'],
    // One pool of threads for each core, and this one has one.
    ...['-p', 'thread_pools=1', '-p', 'thread_pool_min=100', '-p', 'thread_pool_max=5000'],
  ]
  const child = startCommand(serverCore, command, { isQuiet: true })
  const plain = `http://127.0.0.1:${port}`
  const running: RunningVarnish = {
    server: { name: 'varnish', pid: child.pid!, plain, tlsPort: undefined },
    async [Symbol.asyncDispose]() {
      await stop(child)
      rmSync(folder, { recursive: true })
    },
  }
  await until('varnish to answer', async () => await (await fetch(plain)).arrayBuffer())
  return running
}

/** What a viewer sends but the path goes nowhere; headers of the answer as the others give them. */
function vcl(originPort: number): string {
  return `
vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "${originPort}"; .max_connections = 256; }
sub vcl_recv {
  if (req.method != "GET" && req.method != "HEAD") { return (synth(405)); }
  return (hash);
}
sub vcl_hash { hash_data(req.url); return (lookup); }
sub vcl_backend_response {
  if (beresp.status == 200) { set beresp.grace = 6s; } else { set beresp.ttl = 0.25s; }
  set beresp.do_stream = true;
}
sub vcl_deliver {
  set resp.http.Access-Control-Allow-Origin = "*";
  set resp.http.Access-Control-Expose-Headers = "Age, Cache-Status, Content-Length, Content-Range, Date, ETag, Retry-After";
  set resp.http.Timing-Allow-Origin = "*";
  set resp.http.X-Content-Type-Options = "nosniff";
  if (obj.hits > 0) { set resp.http.Cache-Status = "varnish; hit"; }
  else { set resp.http.Cache-Status = "varnish; fwd=miss"; }
}
`
}
