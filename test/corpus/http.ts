// The H, C and P corpora as raw requests, one file for each kind of doubt. The names begin with the corpus ids.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const dir = join(import.meta.dirname, 'http')

/** One character is one byte. */
export type CorpusText = string | (string | { repeat: string; times: number })[]

export interface CorpusCase {
  name: string
  /** `%H` stands for the host. */
  send: CorpusText
  /** What its answer may be. */
  status: number[]
  /** The connection ends with that answer, and nothing behind it is believed. */
  ends?: boolean
  /** All that upstream may be asked for; nothing where it is absent. */
  upstream?: string[]
  /** Harmless, and node:http takes it: served, or refused and hung up on. */
  lenient?: boolean
  /** Answered as if the doubtful part were not there. */
  same?: boolean
  /** The answer has no body, whatever its length says. */
  head?: boolean
}

export function corpusFiles(): string[] {
  return readdirSync(dir)
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -5))
}

export function corpusCases(file: string): CorpusCase[] {
  return JSON.parse(readFileSync(join(dir, `${file}.json`), 'utf8')).cases
}

export function corpusBytes({ send }: CorpusCase, host: string): Buffer {
  return Buffer.from(plainText(send).replaceAll('%H', host), 'latin1')
}

function plainText(text: CorpusText): string {
  const pieces = typeof text === 'string' ? [text] : text
  return pieces
    .map((piece) => (typeof piece === 'string' ? piece : piece.repeat.repeat(piece.times)))
    .join('')
}

export interface UpstreamCase {
  name: string
  answer: CorpusText
  /** `any`: undici takes it for what it resembles, which does no harm. */
  outcome: 'served' | 'refused' | 'broken' | 'any'
  /** Upstream hangs up behind it. */
  ends?: boolean
  /** Comes on the idle connection, when all is over. */
  later?: string
}

/** The H50 corpus. */
export function upstreamCases(): UpstreamCase[] {
  return JSON.parse(readFileSync(join(import.meta.dirname, 'upstream.json'), 'utf8')).cases
}

export function upstreamBytes({ answer }: UpstreamCase): Buffer {
  return Buffer.from(plainText(answer), 'latin1')
}

/** What any port of HTTP must refuse, whatever is live, with the connection told to end where that is not its own doing. */
export function hostileRequests(host: string): [string, Buffer][] {
  return corpusFiles()
    .flatMap(corpusCases)
    .filter(({ status }) => status.every((code) => code >= 400))
    .map((one) => [one.name, Buffer.from(closing(one, host), 'latin1')])
}

function closing(one: CorpusCase, host: string): string {
  const text = corpusBytes(one, host).toString('latin1')
  return one.ends ? text : text.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')
}
