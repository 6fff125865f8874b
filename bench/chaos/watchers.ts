// Viewers of one POP who note every answer: some poll a playlist, some are held by it, some read what is being made, and
// some read again what the POP has.
import { createHash } from 'node:crypto'
import { type LivePlaylist, readLivePlaylist } from '../../test/support/hls-text.ts'
import { until } from '../../test/support/until.ts'

export type Watching = 'polls' | 'held' | 'ahead' | 'again'

export interface Watched {
  kind: Watching
  path: string
  askedAtMs: number
  /** Undefined while it is under way. */
  endedAtMs: number | undefined
  /** 0: no whole answer. */
  status: number
  retryAfter: string | undefined
  /** Of a 200 that ended cleanly. */
  digest: string
  /** A playlist has a first and a last line. */
  isPlaylist: boolean
  problem: string
}

const pauseMs = 100
const afterFailureMs = 500
const answerLimitMs = 20_000
const someSegments = 4

export class Watchers implements AsyncDisposable {
  readonly all: Watched[] = []
  readonly #base: string
  readonly #running: Promise<void>[] = []
  #playlist: LivePlaylist | undefined
  #name = ''
  #reread: readonly string[] = []
  #isOver = false

  private constructor(base: string) {
    this.#base = base
  }

  /** `base`: the stream's folder. Resolves when each kind of viewer has had an answer, and some segments are cached. */
  static async start(base: string, eachKind: number): Promise<Watchers> {
    const watchers = new Watchers(base)
    await watchers.#tuneIn()
    for (let i = 0; i < eachKind; i++) {
      for (const kind of ['polls', 'held', 'ahead', 'again'] as const) {
        watchers.#running.push(watchers.#watch(kind))
      }
    }
    const kinds: Watching[] = ['polls', 'held', 'ahead', 'again']
    await until('viewers of each kind', () =>
      kinds.every((kind) => watchers.all.some((it) => it.kind === kind && it.status === 200)),
    )
    return watchers
  }

  get targetDurationMs(): number {
    return this.#playlist!.targetDuration * 1_000
  }

  underWay(kind: Watching): Watched[] {
    return this.all.filter((it) => it.kind === kind && it.endedAtMs === undefined)
  }

  /** Asked at or after that time, and over. */
  since(ms: number, kind?: Watching): Watched[] {
    return this.all.filter((it) => {
      return it.askedAtMs >= ms && it.endedAtMs !== undefined && (!kind || it.kind === kind)
    })
  }

  /** Answers with 200 that ended cleanly and are not what the other POP has. */
  async unlike(otherBase: string): Promise<string[]> {
    const whole = new Map<string, string>()
    const wrong: string[] = []
    let compared = 0
    for (const { kind, path, status, digest, isPlaylist } of this.all) {
      if (status !== 200) continue
      if (kind === 'polls' || kind === 'held') {
        if (!isPlaylist) wrong.push(path)
        continue
      }
      if (!whole.has(path)) {
        const answer = await fetch(`${otherBase}/${path}`)
        const bytes = await answer.bytes()
        // What has left the window cannot be compared any more.
        whole.set(path, answer.status === 200 ? digestOf(bytes) : '')
      }
      const expected = whole.get(path)
      if (expected) compared++
      if (expected && expected !== digest) wrong.push(path)
    }
    if (compared === 0) throw new Error('no answer could be compared')
    return wrong
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#running)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #tuneIn(): Promise<void> {
    const index = await (await fetch(`${this.#base}/index.m3u8`)).text()
    this.#name = index.match(/^[\w-]+\.m3u8$/m)![0]
    const read = async () => {
      const text = await (await fetch(`${this.#base}/${this.#name}`)).text()
      this.#playlist = readLivePlaylist(text)
      return this.#wholeSegments().length > someSegments
    }
    await until('some segments', read)
    this.#reread = this.#wholeSegments().slice(-someSegments)
    for (const uri of this.#reread) await (await fetch(`${this.#base}/${uri}`)).bytes()
  }

  #wholeSegments(): string[] {
    return this.#playlist!.segments.flatMap(({ uri, isGap }) => (uri && !isGap ? [uri] : []))
  }

  async #watch(kind: Watching): Promise<void> {
    let turn = 0
    while (!this.#isOver) {
      const { status } = await this.#ask(kind, this.#pathFor(kind, turn++))
      const isPaced = kind === 'held' && status === 200
      if (!isPaced) await pause(status === 200 || kind !== 'held' ? pauseMs : afterFailureMs)
    }
  }

  #pathFor(kind: Watching, turn: number): string {
    const { segments, hints } = this.#playlist!
    switch (kind) {
      case 'polls':
        return this.#name
      case 'held': {
        const last = segments.at(-1)!
        const isOpen = last.uri === undefined
        const [msn, part] = isOpen ? [last.number, last.parts.length] : [last.number + 1, 0]
        return `${this.#name}?_HLS_msn=${msn}&_HLS_part=${part}`
      }
      case 'ahead': {
        const hint = hints.find(({ TYPE }) => TYPE === 'PART')?.URI
        const whole = this.#wholeSegments().at(-1)!
        const next = whole.replace(/\d+(?=\.\w+$)/, (number) => `${Number(number) + 1}`)
        return hint === undefined || turn % 2 === 0 ? next : hint
      }
      case 'again':
        return this.#reread[turn % this.#reread.length]!
    }
  }

  async #ask(kind: Watching, path: string): Promise<Watched> {
    const watched: Watched = {
      kind,
      path,
      askedAtMs: performance.now(),
      endedAtMs: undefined,
      status: 0,
      retryAfter: undefined,
      digest: '',
      isPlaylist: false,
      problem: '',
    }
    this.all.push(watched)
    try {
      const signal = AbortSignal.timeout(answerLimitMs)
      const answer = await fetch(`${this.#base}/${path}`, { signal })
      const bytes = await answer.bytes()
      watched.status = answer.status
      watched.retryAfter = answer.headers.get('retry-after') ?? undefined
      watched.digest = digestOf(bytes)
      if (answer.status === 200 && (kind === 'polls' || kind === 'held')) {
        const text = Buffer.from(bytes).toString()
        watched.isPlaylist = text.startsWith('#EXTM3U\n') && text.endsWith('\n')
        const playlist = readLivePlaylist(text)
        if (isLater(playlist, this.#playlist!)) this.#playlist = playlist
      }
    } catch (err) {
      watched.problem = String(err instanceof Error ? (err.cause ?? err) : err)
    }
    watched.endedAtMs = performance.now()
    return watched
  }
}

/** What became of requests, in words: `3 × 503`. */
export function outcomesOf(watched: readonly Watched[]): string {
  const groups = Object.groupBy(watched, ({ kind, status, retryAfter, problem }) => {
    return `${kind} ${status || problem}${retryAfter === undefined ? '' : ' with Retry-After'}`
  })
  return Object.entries(groups)
    .map(([what, own]) => `${own!.length} × ${what}`)
    .join(', ')
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function isLater(one: LivePlaylist, other: LivePlaylist): boolean {
  const place = ({ segments }: LivePlaylist) => {
    const last = segments.at(-1)
    return last ? last.number * 1_000 + last.parts.length : -1
  }
  return place(one) > place(other)
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex')
}
