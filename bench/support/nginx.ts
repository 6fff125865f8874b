// nginx with proxy_cache as a live edge would set it up: the thing to compare with.
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'
import { startCommand, stop } from './processes.ts'

const executable = '/usr/sbin/nginx'

export interface RunningNginx extends AsyncDisposable {
  url: string
  child: ChildProcess
}

export async function startNginx(core: number, originPort: number): Promise<RunningNginx> {
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-bench-nginx-'))
  const port = await freePort()
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, nginxConfig(folder, port, originPort))
  const child = startCommand(core, [executable, '-c', file, '-p', folder])
  const url = `http://127.0.0.1:${port}`
  await answering(url)
  return {
    url,
    child,
    async [Symbol.asyncDispose]() {
      await stop(child)
      rmSync(folder, { recursive: true })
    },
  }
}

function nginxConfig(folder: string, port: number, originPort: number): string {
  const isRoot = process.getuid?.() === 0
  return `
${isRoot ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
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
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache media;
      proxy_cache_key $uri;
      proxy_cache_lock on;
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

async function answering(url: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const answer = await fetch(url).catch(() => undefined)
    await answer?.arrayBuffer()
    if (answer) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('nginx does not answer')
}
