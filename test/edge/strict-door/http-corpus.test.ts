// The H, C and P corpora at an edge's doors: each case alone, behind and before a good request, and in pieces. What must be
// refused is refused in every one of these shapes, and reaches nobody behind the edge.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CorpusCase, corpusBytes, corpusCases, corpusFiles } from '../../corpus/http.ts'
import { parseAnswers, RawClient, type RawDoor } from '../../support/raw-client.ts'
import { canonicalRequest } from './canonical.ts'
import { Bystander, outcomeOf, StrictEdge } from './support.ts'

const host = 'pop-1.example.com'
const goodPath = '/live/good/abcdef12-1/720p/1.m4s'
const good = Buffer.from(`GET ${goodPath} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
/** Over TLS each shape costs a handshake. */
const splits = { plain: 12, TLS: 2 }

interface Shape {
  name: string
  /** Sent and answered before the rest. */
  first?: Buffer
  pieces: Buffer[]
  /** Good requests in `pieces`. */
  before: number
  after: number
}

function shapesOf(bytes: Buffer, one: CorpusCase, splitCount: number): Shape[] {
  const shapes: Shape[] = [
    { name: 'alone', pieces: [bytes], before: 0, after: 0 },
    { name: 'second', first: good, pieces: [bytes], before: 0, after: 0 },
    { name: 'pipelined behind', pieces: [Buffer.concat([good, bytes])], before: 1, after: 0 },
    { name: 'pipelined before', pieces: [Buffer.concat([bytes, good])], before: 0, after: 1 },
  ]
  for (const at of positions(one.name, bytes.length, splitCount)) {
    const pieces = [bytes.subarray(0, at), bytes.subarray(at)]
    shapes.push({ name: `cut at ${at}`, pieces, before: 0, after: 0 })
    shapes.push({ name: `second, cut at ${at}`, first: good, pieces, before: 0, after: 0 })
  }
  return shapes
}

/** The same ones in every run. */
function positions(name: string, length: number, count: number): number[] {
  if (length <= count) return Array.from({ length: length - 1 }, (_, at) => at + 1)
  let state = [...name].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) >>> 0, 7)
  return Array.from({ length: count }, () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0
    return 1 + (state % (length - 1))
  })
}

async function faultsOf(
  edge: StrictEdge,
  door: RawDoor,
  one: CorpusCase,
  shape: Shape,
): Promise<string[]> {
  edge.reset()
  using client = await RawClient.dial(door)
  const before = shape.before + (shape.first ? 1 : 0)
  const isHead = (index: number) => one.head === true && index === before
  const isOver = one.ends === true
  const most = before + 1 + (isOver ? 0 : shape.after)
  if (shape.first) {
    await client.send(shape.first)
    await outcomeOf(client, 1, isHead)
  }
  await client.send(...shape.pieces)
  const outcome = await outcomeOf(client, isOver ? Infinity : most, isHead)
  const { bodies, statuses } = outcome
  const faults: string[] = []
  const status = statuses[before]
  const isRefused = one.lenient === true && status! >= 400
  const wanted = isRefused ? before + 1 : most
  // Of what is still being sent when the connection ends, a reset may overtake the answer.
  const mayBeLost = isOver && shape.pieces.some(({ length }) => length > 16_384)
  if (status === undefined ? !mayBeLost : !one.status.includes(status)) {
    faults.push(`status ${statuses}`)
  }
  if (statuses.length > wanted) faults.push(`${statuses.length} answers`)
  const goods = bodies.toSpliced(before, 1)
  if (goods.length !== wanted - 1 || goods.some((body) => body !== goodPath)) {
    faults.push(`good requests were answered ${JSON.stringify(goods)}`)
  }
  const asked = [
    ...new Set([...(wanted > 1 ? [goodPath] : []), ...(isRefused ? [] : (one.upstream ?? []))]),
  ]
  if (String(edge.origin.paths.toSorted()) !== String(asked.toSorted())) {
    faults.push(`upstream was asked for ${edge.origin.paths}`)
  }
  faults.push(...edge.origin.requests.filter((request) => !canonicalRequest.test(request)))
  return faults.map((fault) => `${shape.name}: ${fault}`)
}

describe.each(['plain', 'TLS'] as const)('%s', (kind) => {
  let edge: StrictEdge
  let bystander: Bystander
  let door: RawDoor

  beforeAll(async () => {
    // What should have been hung up on at once, and was not, is told soon.
    edge = await StrictEdge.start({
      limits: { headersTimeoutMs: 4_000, keepAliveTimeoutMs: 1_500 },
    })
    door = kind === 'plain' ? edge.plain : edge.tls
    bystander = await Bystander.start(edge, door)
  })

  afterAll(async () => {
    bystander?.[Symbol.dispose]()
    await edge?.[Symbol.asyncDispose]()
  })

  describe.each(corpusFiles())('%s', (file) => {
    // Below HTTP both are one; by TLS a sample shows that nothing is lost on the way there.
    const cases = corpusCases(file).filter((_, n) => kind === 'plain' || n % 4 === 0)
    it.each(cases)('$name', async (one) => {
      const bytes = corpusBytes(one, host)
      const faults: string[] = []
      for (const shape of shapesOf(bytes, one, splits[kind])) {
        faults.push(...(await faultsOf(edge, door, one, shape)))
        // The others would say the same.
        if (faults.length > 3) break
      }
      expect(faults.join('\n')).toBe('')
      await bystander.feed()
    })
  })

  it('answers what does not count as if it were not there', async () => {
    const answerTo = async (bytes: Buffer) => {
      edge.reset()
      using client = await RawClient.dial(door)
      await client.send(bytes)
      await outcomeOf(client, 1, () => false)
      const [answer] = parseAnswers(client.received, () => false)
      // What node:http says of the connection besides is not of the answer.
      const { date: _, connection: __, 'keep-alive': ___, ...headers } = answer!.headers
      return { ...answer, headers }
    }
    const clean = await answerTo(
      Buffer.from(`GET /live/demo/index.m3u8 HTTP/1.1\r\nHost: ${host}\r\n\r\n`),
    )
    const others = corpusFiles()
      .flatMap(corpusCases)
      .filter(({ same }) => same)
    expect(others.length).toBeGreaterThan(30)
    for (const one of others) {
      expect([one.name, await answerTo(corpusBytes(one, host))]).toEqual([one.name, clean])
    }
  })

  it('serves nothing below a token that nobody checks, though it is stored', async () => {
    edge.reset()
    using client = await RawClient.dial(door)
    const path = '/live/demo/index.m3u8'
    for (const target of [path, `${path}?token=SECRET`, `/t/SECRET${path}`]) {
      await client.send(Buffer.from(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`))
    }
    const { statuses } = await outcomeOf(client, 3, () => false)
    expect(statuses).toEqual([200, 200, 404])
    expect(edge.origin.paths).toEqual([path])
  })

  it('has hurt nobody else, and told no secret', async () => {
    const { sent, arrived } = await bystander.finish()
    expect(sent.length).toBeGreaterThan(100_000)
    expect(arrived === sent).toBe(true)
    expect(edge.logText).not.toContain('SECRET')
  })
})
