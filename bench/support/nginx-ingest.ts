// nginx as people set it up to take publishers: `stream` ends TLS, and nginx-rtmp behind it speaks RTMP. Each is an
// nginx of its own, so that either hop's time is its own.
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'
import { until } from '../../test/support/until.ts'
import { startCommand, stop } from './processes.ts'

const executable = '/usr/sbin/nginx'
const modules = {
  stream: '/usr/lib/nginx/modules/ngx_stream_module.so',
  rtmp: '/usr/lib/nginx/modules/ngx_rtmp_module.so',
}

export interface NginxIngestOptions {
  core: number
  /** PEM files of the certificate that the TLS hop shows. */
  certificateFile: string
  keyFile: string
  /** Sends every stream on to one more nginx-rtmp, on this core, as a gateway of ours does to its transcoder. */
  pushCore?: number
}

export interface NginxIngest extends AsyncDisposable {
  /** rtmps URL with the application. */
  server: string
  tls: ChildProcess
  rtmp: ChildProcess
}

/** What has to be installed, as a sentence, or undefined. */
export function missingForNginxIngest(): string | undefined {
  const isThere = [executable, ...Object.values(modules)].every((file) => existsSync(file))
  return isThere
    ? undefined
    : 'The ingest scenario needs nginx with RTMP and stream (apt install nginx libnginx-mod-rtmp libnginx-mod-stream).'
}

export async function startNginxIngest(options: NginxIngestOptions): Promise<NginxIngest> {
  await using stack = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-bench-nginx-'))
  stack.defer(() => rmSync(folder, { recursive: true }))
  const rtmpPort = await freePort()
  const tlsPort = await freePort()
  const start = async (hop: Hop, core: number, port: number, config: string) => {
    const file = join(folder, `${hop}.conf`)
    writeFileSync(file, head(folder, hop) + config)
    const child = startCommand(core, [executable, '-c', file, '-p', folder])
    stack.defer(() => stop(child))
    await until(`nginx as ${hop}`, () => isListening(port))
    return child
  }
  const { core, pushCore } = options
  const sinkPort = pushCore === undefined ? undefined : await freePort()
  if (sinkPort !== undefined) await start('sink', pushCore!, sinkPort, rtmpConfig(sinkPort))
  const rtmp = await start('rtmp', core, rtmpPort, rtmpConfig(rtmpPort, sinkPort))
  const tls = await start('stream', core, tlsPort, streamConfig(tlsPort, rtmpPort, options))
  const owned = stack.move()
  return {
    server: `rtmps://127.0.0.1:${tlsPort}/live`,
    tls,
    rtmp,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

type Hop = 'stream' | 'rtmp' | 'sink'

function head(folder: string, hop: Hop): string {
  return `
load_module ${hop === 'stream' ? modules.stream : modules.rtmp};
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${folder}/${hop}.pid;
error_log stderr error;
events { worker_connections 4096; }
`
}

function rtmpConfig(port: number, pushTo?: number): string {
  return `
rtmp {
  server {
    listen 127.0.0.1:${port};
    chunk_size 65536;
    application live {
      live on;
      access_log off;
      ${pushTo === undefined ? '' : `push rtmp://127.0.0.1:${pushTo}/live;`}
    }
  }
}
`
}

function streamConfig(port: number, rtmpPort: number, options: NginxIngestOptions): string {
  return `
stream {
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${options.certificateFile};
    ssl_certificate_key ${options.keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
    proxy_pass 127.0.0.1:${rtmpPort};
  }
}
`
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('close', () => socket.destroy())
    socket.once('connect', () => socket.end())
  })
}
