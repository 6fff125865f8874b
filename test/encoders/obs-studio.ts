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
  keyframeFrames?: number
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
      SimpleOutput: {
        VBitrate: 1000,
        ABitrate: 96,
        StreamEncoder: 'x264',
        Preset: 'ultrafast',
        UseAdvanced: true,
        x264Settings: `keyint=${options.keyframeFrames ?? 60}`,
      },
    }),
  )
  writeFileSync(
    join(profile, 'service.json'),
    JSON.stringify({
      type: 'rtmp_custom',
      settings: { server: options.server, key: options.streamKey, use_auth: false, bwtest: false },
    }),
  )
  writeFileSync(join(scenes, `${name}.json`), JSON.stringify(sceneCollection()))
}

function iniText(sections: Record<string, Record<string, string | number | boolean>>): string {
  return Object.entries(sections)
    .map(([section, settings]) => {
      const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
      return `[${section}]\n${lines.join('')}`
    })
    .join('\n')
}

function sceneCollection() {
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
        id: 'color_source_v3',
        versioned_id: 'color_source_v3',
        name: 'Picture',
        settings: { color: 0xff2a6fdb, width: 640, height: 360 },
      },
    ],
  }
}
