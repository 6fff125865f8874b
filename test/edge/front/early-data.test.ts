// TLS 1.3 early data (RFC 8446 §2.3) can be replayed by whoever has seen it: no request is answered from it. Node has no
// client that sends any, so this one is of the openssl command.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openDoor } from './support.ts'

const hasOpenssl = spawnSync('openssl', ['version']).stdout?.toString().startsWith('OpenSSL 3')

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`

async function sClient(port: number, request: string, args: string[]): Promise<string> {
  const child = spawn(
    'openssl',
    ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-tls1_3', ...args],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('latin1').on('data', (text: string) => {
      output += text
    })
  }
  // It ends when the server does.
  child.stdin.write(request)
  await once(child, 'close')
  return output
}

/**
 * A session as openssl stores it, as if the server had allowed 16 KB of early data: a client that keeps to what our
 * tickets say sends none. Its fields are in the order of their tags, that one has 15.
 */
function withEarlyData(pem: string): string {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  const maxEarlyData = Buffer.from([0xaf, 0x04, 0x02, 0x02, 0x40, 0x00])
  const headLength = 4
  let at = headLength
  while (at < der.length && der[at]! < 0xaf) at = endOfField(der, at)
  const patched = Buffer.concat([der.subarray(0, at), maxEarlyData, der.subarray(at)])
  patched.writeUInt16BE(patched.length - headLength, 2)
  const lines = patched.toString('base64').replace(/.{64}/g, '$&\n')
  return `-----BEGIN SSL SESSION PARAMETERS-----\n${lines}\n-----END SSL SESSION PARAMETERS-----\n`
}

/** Of DER with tags of one byte. */
function endOfField(der: Buffer, at: number): number {
  const first = der[at + 1]!
  if (first < 0x80) return at + 2 + first
  const size = first & 0x7f
  return at + 2 + size + der.readUIntBE(at + 2, size)
}

describe.runIf(hasOpenssl)('early data', () => {
  it('is not offered, and not answered where it is sent all the same', async () => {
    const seen: (string | undefined)[] = []
    const onRequest = (req: IncomingMessage, res: ServerResponse) => {
      seen.push(req.url)
      res.end('answer')
    }
    await using door = await openDoor({ handlers: { onRequest } })
    const dir = await mkdtemp(join(tmpdir(), 'nearcast-early-'))
    const [session, forced, early] = ['session', 'forced', 'early'].map((name) => join(dir, name))
    await sClient(door.port, get('/first'), ['-sess_out', session!])
    await writeFile(early!, get('/early'))
    const pem = await readFile(session!, 'utf8')
    await writeFile(forced!, withEarlyData(pem))

    const resume = (file: string) =>
      sClient(door.port, get('/late'), ['-sess_in', file, '-early_data', early!])
    const honest = await resume(session!)
    expect(honest).toContain('Reused, TLSv1.3')
    expect(honest).toContain('Early data was not sent')
    const bold = await resume(forced!)
    expect(bold).toContain('Early data was rejected')
    expect(seen).toEqual(['/first', '/late', '/late'])
    await rm(dir, { recursive: true })
  })
})
