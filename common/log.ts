// Structured logs. Every line passes a scrubber that works by value, so that a stream key or a token
// that slips into a message, a URL or an error never reaches a disk.
import { type DestinationStream, type Logger, pino } from 'pino'
import pretty from 'pino-pretty'
import { createThreadLock, withThreadLock } from './thread-lock.ts'

export type { Logger } from 'pino'

export type LogFormat = 'auto' | 'json' | 'pretty'

export interface LogOptions {
  name: string
  level?: string
  format?: LogFormat
  /** Where lines go; default stderr, synchronously, so that nothing is lost in a crash. */
  destination?: DestinationStream
  /** The lock of the thread that started this one. */
  lineLock?: SharedArrayBuffer
}

/** Held while a line is written: a long one takes several writes, between which other threads must not come. */
export const lineLock = createThreadLock()

// Our own secrets carry a prefix just so that they can be recognised here: nc_ a stream key, nct_ an API
// token, nco_ a one-time code, ncs_ a cluster secret. eyJ opens every JSON Web Token.
const secretPatterns: [RegExp, string][] = [
  // A word boundary is no help before a whole one: the n of an escaped line break and the F of %2F are letters.
  [/(nc[tos]?_)[A-Za-z0-9_-]{28,}/g, '$1[redacted]'],
  [/\b(nc[tos]?_)[A-Za-z0-9_-]{12,}/g, '$1[redacted]'],
  [/eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g, '[redacted token]'],
  [/\b(Bearer\s+)[^\s"\\]+/gi, '$1[redacted]'],
]

/** Replaces every stream key and token in a text. */
export function scrubSecrets(text: string): string {
  let out = text
  for (const [pattern, replacement] of secretPatterns) out = out.replace(pattern, replacement)
  return out
}

export function createLogger(options: LogOptions): Logger {
  const stderr = options.destination ?? wholeLines(options.lineLock ?? lineLock)
  const format = options.format ?? 'auto'
  const usePretty =
    format === 'pretty' || (format === 'auto' && !options.destination && process.stderr.isTTY)
  const sink: DestinationStream = usePretty
    ? pretty({ destination: stderr as never, sync: true, ignore: 'pid,hostname' })
    : stderr
  return pino(
    {
      name: options.name,
      level: options.level ?? 'info',
      redact: {
        paths: [
          'streamKey',
          'key',
          'token',
          'secret',
          'authorization',
          'ticket',
          'password',
        ].flatMap((name) => [name, `*.${name}`]),
        censor: '[redacted]',
      },
    },
    { write: (line: string) => sink.write(scrubSecrets(line)) },
  )
}

function wholeLines(shared: SharedArrayBuffer): DestinationStream {
  const stderr = pino.destination({ fd: 2, sync: true })
  return { write: (line) => withThreadLock(shared, () => void stderr.write(line)) }
}

/** A logger that drops everything; for tests and tools. */
export const silentLogger: Logger = pino({ level: 'silent' })
