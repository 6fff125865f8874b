// A real OBS Studio on a virtual screen, set up as a streamer would: one scene, x264, AAC, reconnect on.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { EncoderProcess } from './encoder-process.ts'
import type { TrustStore } from './trust-store.ts'

export interface ObsOptions {
  server: string
  streamKey: string
  /** Without it OBS looks at the machine's own trust store. */
  trust?: TrustStore
  /** Frames from one keyframe to the next; `untouched` leaves all output settings as OBS comes with them. */
  keyframes?: number | 'untouched'
}

const name = 'Nearcast'

export class ObsStudio implements AsyncDisposable {
  readonly #home: string
  readonly #screen: ChildProcess
  readonly #obs: EncoderProcess

  private constructor(home: string, screen: ChildProcess, obs: EncoderProcess) {
    this.#home = home
    this.#screen = screen
    this.#obs = obs
  }

  static async start(options: ObsOptions): Promise<ObsStudio> {
    const home = mkdtempSync(join(tmpdir(), 'nearcast-obs-'))
    writeSettings(join(home, '.config', 'obs-studio'), options)
    // The X server picks a free display by itself and tells it on descriptor 3.
    const screen = spawn(
      'Xvfb',
      ['-displayfd', '3', '-screen', '0', '1280x800x24', '-nolisten', 'tcp'],
      {
        stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      },
    )
    const [display] = await once(screen.stdio[3] as Readable, 'data')
    const command = [
      ...['obs', '--startstreaming', '--minimize-to-tray', '--multi', '--disable-updater'],
      ...['--profile', name, '--collection', name],
    ]
    const obs = new EncoderProcess(options.trust?.commandFor(command) ?? command, {
      HOME: home,
      XDG_CONFIG_HOME: join(home, '.config'),
      XDG_RUNTIME_DIR: home,
      DISPLAY: `:${String(display).trim()}`,
      LIBGL_ALWAYS_SOFTWARE: '1',
    })
    return new ObsStudio(home, screen, obs)
  }

  /** The log of OBS. */
  get output(): string {
    return this.#obs.output
  }

  get isRunning(): boolean {
    return this.#obs.isRunning
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#obs[Symbol.asyncDispose]()
    if (this.#screen.exitCode === null && this.#screen.signalCode === null) {
      const ended = once(this.#screen, 'exit')
      this.#screen.kill('SIGTERM')
      await ended
    }
    rmSync(this.#home, { recursive: true, force: true })
  }
}

function writeSettings(folder: string, options: ObsOptions): void {
  const { keyframes = 60 } = options
  const profile = join(folder, 'basic', 'profiles', name)
  const scenes = join(folder, 'basic', 'scenes')
  mkdirSync(profile, { recursive: true })
  mkdirSync(scenes, { recursive: true })
  writeFileSync(
    join(folder, 'global.ini'),
    iniText({
      // Any version: without one OBS opens its first-run wizard.
      General: { FirstRun: true, LastVersion: 486539266, EnableAutoUpdates: false },
      Basic: {
        Profile: name,
        ProfileDir: name,
        SceneCollection: name,
        SceneCollectionFile: name,
      },
    }),
  )
  writeFileSync(
    join(profile, 'basic.ini'),
    iniText({
      General: { Name: name },
      Video: { BaseCX: 640, BaseCY: 360, OutputCX: 640, OutputCY: 360, FPSCommon: 30 },
      Output: { Mode: 'Simple', Reconnect: true, RetryDelay: 2, MaxRetries: 25 },
      ...(keyframes !== 'untouched' && {
        SimpleOutput: {
          VBitrate: 1000,
          ABitrate: 96,
          StreamEncoder: 'x264',
          Preset: 'ultrafast',
          UseAdvanced: true,
          x264Settings: `keyint=${keyframes}`,
        },
      }),
    }),
  )
  writeFileSync(
    join(profile, 'service.json'),
    JSON.stringify({
      type: 'rtmp_custom',
      settings: { server: options.server, key: options.streamKey, use_auth: false, bwtest: false },
    }),
  )
  const picture = join(folder, 'picture.bmp')
  writeFileSync(picture, tiles(640, 360))
  writeFileSync(join(scenes, `${name}.json`), JSON.stringify(sceneCollection(picture)))
}

/** A bitmap of tiles in colours that hardly repeat. */
function tiles(width: number, height: number): Buffer {
  const headerBytes = 54
  const bitmap = Buffer.alloc(headerBytes + width * height * 3)
  bitmap.write('BM')
  bitmap.writeUInt32LE(bitmap.length, 2)
  bitmap.writeUInt32LE(headerBytes, 10)
  bitmap.writeUInt32LE(40, 14)
  bitmap.writeInt32LE(width, 18)
  bitmap.writeInt32LE(height, 22)
  bitmap.writeUInt16LE(1, 26)
  bitmap.writeUInt16LE(24, 28)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const tile = (x >> 5) * 37 + (y >> 5) * 101
      bitmap.writeUIntBE((tile * 40_503) & 0xffffff, headerBytes + (y * width + x) * 3, 3)
    }
  }
  return bitmap
}

function iniText(sections: Record<string, Record<string, string | number | boolean>>): string {
  return Object.entries(sections)
    .map(([section, settings]) => {
      const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
      return `[${section}]\n${lines.join('')}`
    })
    .join('\n')
}

function sceneCollection(pictureFile: string) {
  const picture = {
    name: 'Picture',
    id: 1,
    visible: true,
    pos: { x: 0, y: 0 },
    scale: { x: 1, y: 1 },
  }
  return {
    name,
    current_scene: 'Scene',
    current_program_scene: 'Scene',
    current_transition: 'Cut',
    scene_order: [{ name: 'Scene' }],
    groups: [],
    transitions: [],
    sources: [
      { id: 'scene', name: 'Scene', settings: { items: [picture] } },
      {
        id: 'image_source',
        name: 'Picture',
        settings: { file: pictureFile },
        // It moves, evenly: x264 finds no change of scene, at which it would put a keyframe of its own.
        filters: [
          {
            id: 'scroll_filter',
            name: 'Scroll',
            settings: { speed_x: 60, speed_y: 0, loop: true },
          },
        ],
      },
    ],
  }
}
