// Secrets never reach a log line, wherever in it they hide.
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLogger, scrubSecrets } from '../../common/log.ts'

const random = randomBytes(24).toString('base64url')
const secrets = {
  'stream key': `nc_${random}`,
  'API token': `nct_${random}`,
  'one-time code': `nco_${random}`,
  'cluster secret': `ncs_${random}`,
  'JSON Web Token': `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwb3AtMSJ9.${random}`,
}

function logged(write: (log: ReturnType<typeof createLogger>) => void): string {
  let lines = ''
  const destination = {
    write(line: string) {
      lines += line
    },
  }
  write(createLogger({ name: 'pop-1', level: 'trace', destination }))
  return lines
}

describe.each(Object.entries(secrets))('a %s', (_name, secret) => {
  const cases: Record<string, (log: ReturnType<typeof createLogger>) => void> = {
    'in a message': (log) => log.info(`publish of ${secret} refused`),
    'in a formatted message': (log) => log.info('publish of %s refused', secret),
    'in a field': (log) => log.info({ streamName: secret }, 'refused'),
    'deep inside an object': (log) => log.info({ a: { b: [{ c: { d: secret } }] } }, 'refused'),
    'as a key of an object': (log) => log.info({ sessions: { [secret]: 1 } }, 'sessions'),
    'in a URL': (log) => log.info({ url: `rtmp://host/live/${secret}?sign=1` }, 'dialling'),
    'in a query': (log) => log.info({ url: `/live/x?ticket=${secret}&a=1` }, 'request'),
    'in a query, escaped': (log) =>
      log.info({ url: `/x?u=${encodeURIComponent(`a/${secret}`)}` }, 'x'),
    'in a header': (log) => log.info({ headers: { authorization: `Bearer ${secret}` } }, 'request'),
    'in the message of an error': (log) => log.error({ err: new Error(`no ${secret}`) }, 'failed'),
    'in the cause of an error': (log) =>
      log.error({ err: new Error('failed', { cause: new Error(`no ${secret}`) }) }, 'failed'),
    'in a property of an error': (log) =>
      log.error({ err: Object.assign(new Error('failed'), { input: secret }) }, 'failed'),
    'as the error itself': (log) => log.fatal(new Error(`no ${secret}`)),
    'in the bindings of a child': (log) => log.child({ stream: secret }).warn('gone'),
    'beside JSON': (log) => log.info({ body: JSON.stringify({ streamKey: secret }) }, 'answer'),
    'between line breaks': (log) => log.info(`a\n${secret}\nb`),
  }
  test.each(Object.entries(cases))('%s', (_case, write) => {
    const lines = logged(write)
    expect(lines).not.toContain(random)
    expect(lines).toMatch(/\[redacted/)
    // What is written must stay one JSON document per line.
    for (const line of lines.trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow()
  })
})

describe('values without a prefix of ours', () => {
  test('a bearer of any kind', () => {
    const lines = logged((log) => log.info({ h: 'Authorization: Bearer s3cr3t-value' }, 'x'))
    expect(lines).not.toContain('s3cr3t-value')
  })

  test.each(['streamKey', 'key', 'token', 'secret', 'authorization', 'ticket', 'password'])(
    'the field %s',
    (name) => {
      const lines = logged((log) =>
        log.info({ [name]: 'plain-value', in: { [name]: 'plain-value' } }),
      )
      expect(lines).not.toContain('plain-value')
    },
  )
})

test('any key is hidden in any text, and the text around it stays', () => {
  const base64url = fc.stringMatching(/^[A-Za-z0-9_-]{32}$/)
  const around = fc.stringMatching(/^[ a-z/?&=:"{}[\],.]{0,20}$/)
  fc.assert(
    fc.property(around, base64url, around, (before, key, after) => {
      const out = scrubSecrets(`${before} nc_${key} ${after}`)
      expect(out).toBe(`${before} nc_[redacted] ${after}`)
    }),
  )
})

test('ids and names that only look alike are left alone', () => {
  for (const text of ['nc_short', 'sync_with_the_other_gateway', 'pop-1.nc', 'key-unknown']) {
    expect(scrubSecrets(text)).toBe(text)
  }
})
