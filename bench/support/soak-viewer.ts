// A viewer without a player: follows one rendition of a stream in low latency and fetches each part that comes, as
// hls.js would, and counts what it was refused.
import { readLivePlaylist } from '../../test/support/hls-text.ts'
import { nextOf } from '../../test/support/live-view.ts'
import { TlsClient } from '../../test/support/tls-client.ts'

export interface Viewed {
  requests: number
  failures: string[]
}

const pauseMs = 500

export class SoakViewer {
  readonly #media: string
  readonly #client: TlsClient
  readonly #stop = new AbortController()
  readonly #seen: Viewed = { requests: 0, failures: [] }
  readonly #done: Promise<void>

  static start(media: string, ca: Buffer): SoakViewer {
    return new SoakViewer(media, ca)
  }

  private constructor(media: string, ca: Buffer) {
    this.#media = media
    this.#client = new TlsClient(ca)
    this.#done = this.#watch()
  }

  async stop(): Promise<Viewed> {
    this.#stop.abort()
    await this.#done
    this.#client.close()
    return this.#seen
  }

  async #watch(): Promise<void> {
    let rendition: string | undefined
    let query = ''
    const fetched = new Set<string>()
    while (!this.#stop.signal.aborted) {
      rendition ??= /^[^#\s].*\.m3u8$/m.exec((await this.#get('index.m3u8')) ?? '')?.[0]
      const text = rendition && (await this.#get(`${rendition}${query}`))
      if (!text) {
        query = ''
        await new Promise((resolve) => setTimeout(resolve, pauseMs))
        continue
      }
      const playlist = readLivePlaylist(text)
      const { number, part } = nextOf(playlist)
      query = `?_HLS_msn=${number}&_HLS_part=${part}`
      const newest = playlist.segments.slice(-2).filter(({ isGap }) => !isGap)
      const parts = newest.flatMap((it) => it.parts.filter(({ isGap }) => !isGap))
      const fresh = parts.map(({ uri }) => uri).filter((uri) => !fetched.has(uri))
      for (const uri of fresh) fetched.add(uri)
      await Promise.all(fresh.map((uri) => this.#get(uri)))
      for (const uri of fetched) if (fetched.size > 100) fetched.delete(uri)
      if (playlist.serverControl?.['CAN-BLOCK-RELOAD'] !== 'YES') {
        query = ''
        await new Promise((resolve) => setTimeout(resolve, pauseMs))
      }
    }
  }

  async #get(path: string): Promise<string | undefined> {
    try {
      const { status, body } = await this.#client.get(`${this.#media}/${path}`, {
        signal: this.#stop.signal,
      })
      this.#seen.requests++
      if (status === 200) return body.toString('latin1')
      this.#seen.failures.push(`${path}: ${status}`)
    } catch (err) {
      if (!this.#stop.signal.aborted) this.#seen.failures.push(`${path}: ${err}`)
    }
    return undefined
  }
}
