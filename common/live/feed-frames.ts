// The frames of a feed on the wire: u32 length of a JSON text, the text, u32 length of a body, the body.
//
// A body is copied once, out of the pieces that the network brought, so that it pins nothing else in memory.
// Nothing is reserved for what has only been announced.
import { type FeedHead, feedHeadSchema } from '../contract/feed.ts'

export interface FeedFrame {
  head: FeedHead
  body: Buffer
}

export interface FrameLimits {
  headBytes: number
  bodyBytes: number
}

/** One part or init section, and what is listed of a whole window. */
const defaultLimits: FrameLimits = { headBytes: 8 * 1024 * 1024, bodyBytes: 64 * 1024 * 1024 }
const none = Buffer.alloc(0)
/** Most heads say no more than their kind. */
const bareHeads = (['body', 'ping'] as const).map((kind) => {
  const head: FeedHead = { kind }
  return { head, text: Buffer.from(JSON.stringify(head)) }
})

/** To be written one after the other. */
export function frameBytes(head: FeedHead, body: Buffer = none): Buffer[] {
  const bare = bareHeads.find((it) => it.head.kind === head.kind)
  const text = bare?.text ?? Buffer.from(JSON.stringify(head))
  const front = Buffer.allocUnsafe(text.length + 8)
  front.writeUInt32BE(text.length, 0)
  text.copy(front, 4)
  front.writeUInt32BE(body.length, text.length + 4)
  return body.length > 0 ? [front, body] : [front]
}

type Stage = 'headLength' | 'head' | 'bodyLength' | 'body'

export class FeedFrameReader {
  readonly #limits: FrameLimits
  #pieces: Buffer[] = []
  #size = 0
  #stage: Stage = 'headLength'
  #wanted = 4
  #head: FeedHead | undefined
  #fault: string | undefined

  constructor(limits: FrameLimits = defaultLimits) {
    this.#limits = limits
  }

  /** Frames that the piece completes, in order; after a fault nothing is read any more. */
  push(piece: Buffer): { frames: FeedFrame[]; fault?: string } {
    const frames: FeedFrame[] = []
    let rest = piece
    while (this.#fault === undefined) {
      const missing = this.#wanted - this.#size
      if (rest.length < missing) {
        if (rest.length > 0) {
          this.#pieces.push(rest)
          this.#size += rest.length
        }
        return { frames }
      }
      this.#pieces.push(rest.subarray(0, missing))
      rest = rest.subarray(missing)
      const isOnePiece = this.#pieces.length === 1 && this.#stage !== 'body'
      const whole = isOnePiece ? this.#pieces[0]! : Buffer.concat(this.#pieces)
      this.#pieces = []
      this.#size = 0
      this.#fault = this.#step(whole, frames)
    }
    return { frames, fault: this.#fault }
  }

  /** Answers what is wrong. */
  #step(bytes: Buffer, frames: FeedFrame[]): string | undefined {
    const { headBytes, bodyBytes } = this.#limits
    switch (this.#stage) {
      case 'headLength':
        return this.#expect('head', bytes.readUInt32BE(), headBytes)
      case 'head': {
        const head = parseHead(bytes)
        if (!head) return 'a head that is none'
        this.#head = head
        return this.#expect('bodyLength', 4, 4)
      }
      case 'bodyLength':
        return this.#expect('body', bytes.readUInt32BE(), bodyBytes)
      case 'body':
        if (bytes.length > 0 !== (this.#head!.kind === 'body')) return 'a body out of place'
        frames.push({ head: this.#head!, body: bytes })
        return this.#expect('headLength', 4, 4)
    }
  }

  #expect(stage: Stage, bytes: number, limit: number): string | undefined {
    if (bytes > limit) return `a ${stage} of ${bytes} bytes`
    this.#stage = stage
    this.#wanted = bytes
    return undefined
  }
}

function parseHead(bytes: Buffer): FeedHead | undefined {
  const bare = bareHeads.find(({ text }) => text.equals(bytes))
  if (bare) return bare.head
  try {
    return feedHeadSchema.safeParse(JSON.parse(bytes.toString('utf8'))).data
  } catch {
    return undefined
  }
}
