// What load generators and other programs print, read into figures: real outputs, and ones that tell of faults.
import { describe, expect, test } from 'vitest'
import { readNegotiated } from '../../bench/support/certificate.ts'
import { readH2load } from '../../bench/support/h2load.ts'
import { maxOpenFiles } from '../../bench/support/tools.ts'
import { readWrk } from '../../bench/support/wrk.ts'

const wrk = `Running 1s test @ https://localhost:18443/a
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   256.23us  361.27us   7.24ms   94.65%
    Req/Sec    39.01k    14.97k   62.82k    60.00%
  Latency Distribution
     50%  167.00us
     75%  254.00us
     90%  415.00us
     99%    1.97ms
  38687 requests in 1.00s, 41.51MB read
Requests/sec:  38670.10
Transfer/sec:     41.49MB
`

describe('wrk', () => {
  test('counts, time and size, with their units', () => {
    expect(readWrk(wrk)).toEqual({
      requests: 38_687,
      seconds: 1,
      readBytes: 41.51 * 2 ** 20,
      p50Ms: 0.167,
      p99Ms: 1.97,
      faults: [],
    })
    expect(readWrk(wrk.replace('1.00s, 41.51MB', '1.50m, 2.5GB')).seconds).toBe(90)
  })

  test('what went wrong', () => {
    const bad = wrk.replace(
      'Requests/sec',
      '  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 7\nRequests/sec',
    )
    expect(readWrk(bad).faults).toEqual([
      'Socket errors: connect 0, read 3, write 0, timeout 1',
      'Non-2xx or 3xx responses: 7',
    ])
    expect(() => readWrk('unable to connect to localhost:1 Connection refused')).toThrow('refused')
  })
})

const h2load = `TLS Protocol: TLSv1.3
Cipher: TLS_AES_256_GCM_SHA384
Server Temp Key: X25519 253 bits
Application protocol: h2

finished in 1.00s, 21756.00 req/s, 21.36MB/s
requests: 21756 total, 21772 started, 21756 done, 21756 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 21762 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 21.36MB (22393556) total, 42.86KB (43892) headers (space savings 95.31%), 20.75MB (21762000) data
`

describe('h2load', () => {
  test('counts, bodies, and what was negotiated', () => {
    expect(readH2load(h2load, 1)).toMatchObject({
      requests: 21_756,
      readBytes: 21_762_000,
      faults: [],
      negotiated: { tls: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', application: 'h2' },
    })
  })

  test('answers that are errors, and requests that got none', () => {
    const errors = h2load.replace('0 4xx', '5 4xx').replace('0 errored', '2 errored')
    expect(readH2load(errors, 1).faults).toHaveLength(2)
    expect(() => readH2load('', 1)).toThrow('did not measure')
  })
})

test('a TLS session as openssl tells of it', () => {
  const text = `Peer signing digest: SHA256
Peer signature type: ECDSA
---
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
Server public key is 256 bit
ALPN protocol: http/1.1
`
  expect(readNegotiated(text)).toEqual({
    version: 'TLSv1.3',
    cipher: 'TLS_AES_256_GCM_SHA384',
    keyBits: '256',
    signature: 'ECDSA',
    application: 'http/1.1',
  })
  expect(() => readNegotiated('New, (NONE), Cipher is (NONE)')).toThrow('no TLS session')
})

test('the limit of open files is the hard one', () => {
  const line = (hard: string) => `Max open files            1024                 ${hard}     files`
  expect(maxOpenFiles(line('524288'))).toBe(524_288)
  expect(maxOpenFiles(line('unlimited'))).toBe(Number.POSITIVE_INFINITY)
})
