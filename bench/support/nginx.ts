// nginx with proxy_cache as a live edge would set it up: the thing to compare with.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'
import { until } from '../../test/support/until.ts'
import { type BenchServer, serverCore } from './bench-server.ts'
import type { Certificate } from './certificate.ts'
import { startCommand, stop } from './processes.ts'
import { requiredPath } from './tools.ts'

export interface NginxOptions {
  originPort: number
  certificate: Certificate
  /** The one cipher of TLS 1.3 that it offers, so that both servers use the same; default its own choice. */
  cipher?: string
}

export interface RunningNginx extends AsyncDisposable {
  server: BenchServer & { tlsPort: number }
}

export async function startNginx(options: NginxOptions): Promise<RunningNginx> {
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-bench-nginx-'))
  const port = await freePort()
  const tlsPort = await freePort()
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, nginxConfig({ ...options, folder, port, tlsPort }))
  const child = startCommand(serverCore, [requiredPath('nginx'), '-c', file, '-p', folder])
  const plain = `http://127.0.0.1:${port}`
  const running: RunningNginx = {
    server: { name: 'nginx', pid: child.pid!, plain, tlsPort },
    async [Symbol.asyncDispose]() {
      await stop(child)
      rmSync(folder, { recursive: true })
    },
  }
  await until('nginx to answer', async () => await (await fetch(plain)).arrayBuffer())
  return running
}

interface Places {
  folder: string
  port: number
  tlsPort: number
}

function nginxConfig(options: NginxOptions & Places): string {
  const { folder, port, tlsPort, originPort, certificate, cipher } = options
  const isRoot = process.getuid?.() === 0
  return `
${isRoot ? 'user root;' : ''}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 16384; }
http {
  access_log off;
  sendfile on;
  tcp_nopush off;
  keepalive_timeout 65s;
  keepalive_requests 100000000;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  proxy_cache_path ${folder}/cache levels=1:2 keys_zone=media:16m max_size=512m use_temp_path=off;
  open_file_cache max=1000 inactive=60s;
  upstream origin { server 127.0.0.1:${originPort}; keepalive 16; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    listen 127.0.0.1:${tlsPort} ssl http2 backlog=4096;
    ssl_certificate ${certificate.certificateFile};
    ssl_certificate_key ${certificate.keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:4m;
    ${cipher === undefined ? '' : `ssl_conf_command Ciphersuites ${cipher};`}
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache media;
      # A blocking reload is one more object: nginx does not know what it asks for.
      proxy_cache_key $uri$is_args$args;
      proxy_cache_lock on;
      # Longer than any answer is held back: nobody goes to the origin past the lock.
      proxy_cache_lock_timeout 15s;
      proxy_cache_lock_age 15s;
      proxy_cache_use_stale updating error timeout;
      proxy_cache_background_update on;
      add_header Access-Control-Allow-Origin * always;
      add_header Access-Control-Expose-Headers "Age, Cache-Status, Content-Length, Content-Range, Date, ETag, Retry-After" always;
      add_header Timing-Allow-Origin * always;
      add_header X-Content-Type-Options nosniff always;
      add_header Cache-Status "nginx; $upstream_cache_status" always;
    }
  }
}
`
}
