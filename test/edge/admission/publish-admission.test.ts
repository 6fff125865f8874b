// Who may publish, and how wrong keys are answered.
import { PassThrough } from 'node:stream'
import { beforeEach, describe, expect, test } from 'vitest'
import { type Refusal, type RefusalCode, refusal } from '../../../common/contract/refusal.ts'
import { GuessGuard } from '../../../edge/admission/guess-guard.ts'
import {
  type NoWay,
  PublishAdmission,
  type PublishLimits,
} from '../../../edge/admission/publish-admission.ts'
import { FakeClock, settle } from '../../support/fake-clock.ts'

let clock: FakeClock
let guesses: GuessGuard
let banned: string[]

beforeEach(() => {
  clock = new FakeClock()
  guesses = new GuessGuard(clock, { failuresPerMinute: 10, banMs: 600_000 })
  banned = []
})

const plenty: PublishLimits = {
  address: { streams: 100, bitsPerSecond: 1e9 },
  key: { streams: 100, publishesPerSecond: 1_000, bitsPerSecond: 1e9 },
  node: { streams: 100, bitsPerSecond: 1e9 },
}

function admissionOf(limits: {
  address?: Partial<PublishLimits['address']>
  key?: Partial<PublishLimits['key']>
  node?: Partial<PublishLimits['node']>
}): PublishAdmission {
  return new PublishAdmission({
    clock,
    guesses,
    onBan: (address) => banned.push(address),
    limits: {
      address: { ...plenty.address, ...limits.address },
      key: { ...plenty.key, ...limits.key },
      node: { ...plenty.node, ...limits.node },
    },
  })
}

type Outcome = { started: object } | NoWay

// Nothing of it is looked at.
const started: Outcome = { started: {} }

interface Publisher {
  socket: PassThrough
  outcome: Promise<Outcome>
  refused: Refusal[]
  abort: AbortController
}

function publish(
  admission: PublishAdmission,
  { address = 'a', key = 'k', answer = started, takesMs = 0 }: Partial<Asked> = {},
): Publisher {
  const socket = new PassThrough()
  socket.resume()
  const refused: Refusal[] = []
  const abort = new AbortController()
  const attempt = {
    keyDigest: key,
    signal: abort.signal,
    refuse: (reason: Refusal) => refused.push(reason),
  }
  const outcome = admission.publish(socket, address, attempt, async () => {
    if (takesMs > 0) {
      await new Promise<void>((resolve) => clock.setTimeout(resolve, takesMs))
    }
    return answer
  })
  return { socket, outcome, refused, abort }
}

interface Asked {
  address: string
  key: string
  answer: Outcome
  takesMs: number
}

async function codeOf({ outcome }: Publisher): Promise<RefusalCode | undefined> {
  const settled = await outcome
  return 'refused' in settled ? settled.refused.code : undefined
}

describe('streams at once', () => {
  test.each([
    ['of a key', { key: { streams: 2 } }, 'too-many-streams'],
    ['of an address', { address: { streams: 2 } }, 'too-many-streams'],
    ['of the node', { node: { streams: 2 } }, 'node-full'],
  ] as const)('%s', async (_name, limits, code) => {
    const admission = admissionOf(limits)
    const first = publish(admission)
    expect(await codeOf(first)).toBeUndefined()
    expect(await codeOf(publish(admission))).toBeUndefined()
    expect(await codeOf(publish(admission))).toBe(code)
    first.socket.destroy()
    await settle()
    expect(await codeOf(publish(admission))).toBeUndefined()
  })

  test('a publish that was refused holds none', async () => {
    const admission = admissionOf({ key: { streams: 1 } })
    const answer = { refused: refusal('no-transcoder') }
    expect(await codeOf(publish(admission, { answer }))).toBe('no-transcoder')
    expect(await codeOf(publish(admission))).toBeUndefined()
  })

  test('an encoder that left before its publish began holds none', async () => {
    const admission = admissionOf({ key: { streams: 1 } })
    const left = publish(admission, { takesMs: 10 })
    left.socket.destroy()
    await clock.advance(10)
    await left.outcome
    expect(await codeOf(publish(admission))).toBeUndefined()
  })
})

test('who is in may look for another way up as often as it takes, and is counted once', async () => {
  const limits = { key: { streams: 1, publishesPerSecond: 1, bitsPerSecond: 900_000 } }
  const admission = admissionOf(limits)
  const socket = new PassThrough()
  socket.resume()
  const { signal } = new AbortController()
  const refused: Refusal[] = []
  const attempt = { keyDigest: 'k', signal, refuse: (reason: Refusal) => refused.push(reason) }
  for (let i = 0; i < 20; i++) {
    expect(await admission.publish(socket, 'a', attempt, async () => started)).toBe(started)
  }
  const verdict = { refused: refusal('key-revoked') }
  expect(await admission.publish(socket, 'a', attempt, async () => verdict)).toBe(verdict)
  for (let i = 0; i < 12; i++) {
    socket.write(Buffer.alloc(125_000))
    await clock.advance(1_000)
  }
  expect(refused).toHaveLength(1)
})

test('a key may be tried so often', async () => {
  const admission = admissionOf({ key: { publishesPerSecond: 1 } })
  const codes = await Promise.all(Array.from({ length: 11 }, () => codeOf(publish(admission))))
  expect(codes.slice(0, 10)).toEqual(Array(10).fill(undefined))
  expect(codes[10]).toBe('too-many-attempts')
  expect(await codeOf(publish(admission, { key: 'other' }))).toBeUndefined()
  await clock.advance(1_000)
  expect(await codeOf(publish(admission))).toBeUndefined()
})

describe('bits a second', () => {
  const second = Buffer.alloc(125_000)

  async function send({ socket }: Publisher, seconds: number) {
    for (let i = 0; i < seconds; i++) {
      socket.write(second)
      await clock.advance(1_000)
    }
  }

  test('a stream above the limit of its key is ended with what it sent', async () => {
    const admission = admissionOf({ key: { bitsPerSecond: 900_000 } })
    const stream = publish(admission)
    await stream.outcome
    await send(stream, 12)
    expect(stream.refused).toEqual([
      refusal('bitrate-too-high', 'The stream has 1.1 Mb/s; at most 0.9 are accepted.'),
    ])
  })

  test('a stream below it goes on', async () => {
    const stream = publish(admissionOf({ key: { bitsPerSecond: 1_200_000 } }))
    await stream.outcome
    await send(stream, 30)
    expect(stream.refused).toEqual([])
  })

  test.each([
    ['an address', { address: { bitsPerSecond: 900_000 } }, 'too-many-streams'],
    ['the node', { node: { bitsPerSecond: 900_000 } }, 'node-full'],
  ] as const)('above the limit of %s no stream is taken in addition', async (_n, limits, code) => {
    const admission = admissionOf(limits)
    const stream = publish(admission)
    await stream.outcome
    await send(stream, 12)
    expect(stream.refused).toEqual([])
    expect(await codeOf(publish(admission, { key: 'other' }))).toBe(code)
    stream.socket.destroy()
    await clock.advance(20_000)
    expect(await codeOf(publish(admission, { key: 'other' }))).toBeUndefined()
  })
})

describe('wrong keys', () => {
  const codes = ['key-unknown', 'key-revoked', 'key-expired'] as const

  test.each(codes)('%s is answered at the same time, however fast it is known', async (code) => {
    for (const takesMs of [0, 3, 40, 249]) {
      const admission = admissionOf({})
      const startedAt = clock.monotonic()
      let answeredAt: number | undefined
      const answer = { refused: refusal(code) }
      const publisher = publish(admission, { address: `${takesMs}`, answer, takesMs })
      void publisher.outcome.then(() => {
        answeredAt = clock.monotonic()
      })
      await clock.advance(249)
      expect(answeredAt).toBeUndefined()
      await clock.advance(1)
      expect(answeredAt! - startedAt).toBe(250)
      expect(await codeOf(publisher)).toBe(code)
    }
  })

  test('what took longer is answered at the next multiple', async () => {
    const answer = { refused: refusal('key-unknown') }
    const publisher = publish(admissionOf({}), { answer, takesMs: 260 })
    let isAnswered = false
    void publisher.outcome.then(() => {
      isAnswered = true
    })
    await clock.advance(499)
    expect(isAnswered).toBe(false)
    await clock.advance(1)
    expect(isAnswered).toBe(true)
  })

  test('other refusals are not held back, and do not count', async () => {
    const admission = admissionOf({})
    const answer = { refused: refusal('no-transcoder') }
    for (let i = 0; i < 20; i++) {
      const publisher = publish(admission, { key: `k${i}`, answer })
      expect(await codeOf(publisher)).toBe('no-transcoder')
    }
    expect(banned).toEqual([])
  })

  test('ten of them ban the address, and those under way learn nothing more', async () => {
    const admission = admissionOf({})
    const answer = { refused: refusal('key-unknown') }
    const tries = Array.from({ length: 12 }, (_, i) =>
      publish(admission, { key: `k${i}`, answer, takesMs: 5 }),
    )
    const right = publish(admission, { address: 'b' })
    await clock.advance(10_000)
    const heard = await Promise.all(tries.map(codeOf))
    expect(heard).toEqual([...Array(9).fill('key-unknown'), ...Array(3).fill('address-banned')])
    expect(banned).toEqual(['a'])
    expect(await codeOf(publish(admission))).toBe('address-banned')
    expect(await codeOf(right)).toBeUndefined()
  })

  test('who leaves is not waited for', async () => {
    const answer = { refused: refusal('key-unknown') }
    const publisher = publish(admissionOf({}), { answer })
    await settle()
    publisher.abort.abort()
    expect(await codeOf(publisher)).toBe('key-unknown')
  })
})
