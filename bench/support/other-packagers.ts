// What low latency is compared with: nginx-rtmp as Debian ships it, and ffmpeg's own dash muxer.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stop } from './processes.ts'
import { startPushStore } from './push-store.ts'

const nginx = '/usr/sbin/nginx'
const module = '/usr/lib/nginx/modules/ngx_rtmp_module.so'

export function nginxRtmpMissing(): string | undefined {
  return existsSync(nginx) && existsSync(module)
    ? undefined
    : 'nginx-rtmp is not measured: it needs the Debian package libnginx-mod-rtmp.'
}

export interface NginxRtmp extends AsyncDisposable {
  publish: { server: string; streamKey: string }
  hls: string
}

export async function startNginxRtmp(): Promise<NginxRtmp> {
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-bench-rtmp-'))
  const [rtmp, http] = await Promise.all([freePort(), freePort()])
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, nginxConfig(folder, rtmp, http))
  const child = spawn(nginx, ['-c', file, '-p', folder], { stdio: ['ignore', 'ignore', 'inherit'] })
  return {
    publish: { server: `rtmp://127.0.0.1:${rtmp}/live`, streamKey: 'bench' },
    hls: `http://127.0.0.1:${http}/hls/bench.m3u8`,
    async [Symbol.asyncDispose]() {
      await stop(child)
      rmSync(folder, { recursive: true })
    },
  }
}

/** Segments of 2 s at the keyframes, as many in a playlist as ours lists; the rest as the module sets it. */
function nginxConfig(folder: string, rtmp: number, http: number): string {
  const isRoot = process.getuid?.() === 0
  return `
load_module ${module};
${isRoot ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 256; }
rtmp {
  access_log off;
  server {
    listen 127.0.0.1:${rtmp};
    application live {
      live on;
      hls on;
      hls_path ${folder}/hls;
      hls_fragment 2s;
      hls_playlist_length 12s;
    }
  }
}
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${http};
    location /hls {
      root ${folder};
      types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; }
      add_header Access-Control-Allow-Origin *;
      add_header Cache-Control no-cache;
    }
  }
}
`
}

export interface DashMuxer extends AsyncDisposable {
  mpd: string
  hls: string
}

export interface DashMuxerOptions {
  size: string
  bitrate: string
  videoFilter: string
}

/** Its low-latency mode, with parts of 0.5 s pushed as they are made; 1.5 s is what dash.js aims at by itself. */
export async function startDashMuxer(options: DashMuxerOptions): Promise<DashMuxer> {
  const store = await startPushStore()
  const child = spawn('ffmpeg', dashMuxerArgs(store.url, options), {
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  return {
    mpd: `${store.url}/live/manifest.mpd`,
    hls: `${store.url}/live/master.m3u8`,
    async [Symbol.asyncDispose]() {
      await stop(child, 'SIGKILL')
      await store[Symbol.asyncDispose]()
    },
  }
}

function dashMuxerArgs(url: string, { size, bitrate, videoFilter }: DashMuxerOptions): string[] {
  return [
    ...['-hide_banner', '-nostdin', '-loglevel', 'error'],
    ...['-re', '-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=30`],
    ...['-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'],
    ...['-map', '0:v', '-map', '1:a', '-vf', videoFilter, '-fps_mode', 'passthrough'],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p'],
    ...[
      '-g',
      '60',
      '-sc_threshold',
      '0',
      '-b:v',
      bitrate,
      '-c:a',
      'aac',
      '-b:a',
      '96k',
      '-ac',
      '2',
    ],
    ...['-f', 'dash', '-seg_duration', '2', '-frag_duration', '0.5', '-frag_type', 'duration'],
    ...['-use_template', '1', '-use_timeline', '0', '-streaming', '1', '-ldash', '1'],
    ...['-strict', 'experimental', '-target_latency', '1.5', '-hls_playlist', '1'],
    ...['-window_size', '6', '-extra_window_size', '6'],
    ...['-adaptation_sets', 'id=0,streams=v id=1,streams=a', '-utc_timing_url', `${url}/time`],
    ...['-write_prft', '1', '-format_options', 'movflags=+cmaf'],
    ...['-method', 'PUT', '-http_persistent', '1', '-timeout', '5', `${url}/live/manifest.mpd`],
  ]
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
